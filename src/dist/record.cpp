#include "dist/record.h"

#include <fmt/format.h>

#include <charconv>
#include <stdexcept>

namespace gsnake::dist {
namespace {

class Words {
 public:
  explicit Words(std::string_view text) : left_(text) {}

  template <typename Number>
  Number number() {
    Number value{};
    const auto [end, error] = std::from_chars(left_.data(), left_.data() + left_.size(), value);
    if (error != std::errc{}) throw std::logic_error(fmt::format("a rank's record ends in '{}'", left_));
    left_.remove_prefix(static_cast<std::size_t>(end - left_.data()));
    if (!left_.empty()) left_.remove_prefix(1);
    return value;
  }
  [[nodiscard]] std::string_view rest() const { return left_; }

 private:
  std::string_view left_;
};

}  // namespace

std::string written(const Record& record) {
  std::string text = fmt::format("{} {} {} ", record.beat, static_cast<int>(record.state), record.culprit);
  for (const LinkState& link : record.links) text += fmt::format("{} {} ", link.done, link.left ? 1 : 0);
  return text + record.message;
}

Record read_record(std::string_view text) {
  Words words(text);
  Record record;
  record.beat = words.number<std::uint64_t>();
  record.state = static_cast<State>(words.number<int>());
  record.culprit = words.number<int>();
  for (LinkState& link : record.links) {
    link.done = words.number<std::uint64_t>();
    link.left = words.number<int>() != 0;
  }
  record.message = words.rest();
  return record;
}

}  // namespace gsnake::dist
