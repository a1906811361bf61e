#include "store/folder/names.h"

namespace gsnake::store {

std::vector<std::string> earlier_file_names() {
  std::vector<std::string> names{kEarlierNames.pin()};
  for (std::size_t kind = 0; kind < kKindCount; ++kind) names.push_back(kEarlierNames.of(kind_at(kind)));
  return names;
}

FileNames names_from(const nlohmann::json& storage) { return {storage.value(kNamesKey, kEarlierNames.prefix)}; }

}  // namespace gsnake::store
