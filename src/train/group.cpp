#include "train/group.h"

#include <algorithm>
#include <cstring>

namespace gsnake::train {

std::vector<double> shared(dist::RankGroup* group, std::span<const double> own) {
  if (group == nullptr) return {own.begin(), own.end()};
  std::vector<double> all(own.size() * static_cast<std::size_t>(group->count()));
  group->agreement(dist::Channel::control).share(own, all);
  return all;
}

// First how long they are, then the texts in as many doubles as the longest takes.
std::vector<std::string> shared_texts(dist::RankGroup* group, const std::string& own) {
  const double length = static_cast<double>(own.size());
  const std::vector<double> lengths = shared(group, {&length, 1});
  const auto longest = static_cast<std::size_t>(*std::max_element(lengths.begin(), lengths.end()));
  std::vector<double> packed(longest / sizeof(double) + 1);
  std::memcpy(packed.data(), own.data(), own.size());
  const std::vector<double> all = shared(group, packed);
  std::vector<std::string> texts;
  for (std::size_t rank = 0; rank < lengths.size(); ++rank) {
    std::string& text = texts.emplace_back(static_cast<std::size_t>(lengths[rank]), '\0');
    std::memcpy(text.data(), all.data() + rank * packed.size(), text.size());
  }
  return texts;
}

void meet(dist::RankGroup* group) {
  const double nothing = 0.0;
  shared(group, {&nothing, 1});
}

bool any_says(dist::RankGroup* group, bool own) {
  const double said = own ? 1.0 : 0.0;
  const std::vector<double> all = shared(group, {&said, 1});
  return std::any_of(all.begin(), all.end(), [](double one) { return one != 0.0; });
}

}  // namespace gsnake::train
