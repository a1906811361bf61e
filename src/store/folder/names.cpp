#include "store/folder/names.h"

namespace gsnake::store {

FileNames names_from(const nlohmann::json& storage) { return {storage.value(kNamesKey, kEarlierNames.prefix)}; }

}  // namespace gsnake::store
