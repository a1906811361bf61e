#include "hf/json.h"

#include <array>
#include <cerrno>
#include <fstream>
#include <set>
#include <system_error>
#include <vector>

#include "hf/folder.h"
#include "hf/refusal.h"

namespace gsnake::hf {
namespace {

constexpr std::size_t kMostDeep = 64;
constexpr std::size_t kMostShown = 80;

// Builds nothing: says whether text may be parsed.
class Gate final : public nlohmann::json_sax<Json> {
 public:
  Gate(const std::string& path, std::uint64_t offset) : path_(path), offset_(offset) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override {
    keys_.emplace_back();
    return enter();
  }
  bool key(string_t& name) override {
    if (!keys_.back().insert(name).second) refuse(path_, fmt::format("the key \"{}\" occurs twice in one object", shown(name)));
    return true;
  }
  bool end_object() override {
    keys_.pop_back();
    return leave();
  }
  bool start_array(std::size_t) override { return enter(); }
  bool end_array() override { return leave(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    // 1xx: syntax; others are numbers beyond a double's range.
    const bool syntax = error.id < 200;
    refuse(path_, fmt::format("{} at byte {}", syntax ? "it is not valid JSON" : "a number is out of range", offset_ + position));
  }

 private:
  bool enter() {
    if (++depth_ > kMostDeep) refuse(path_, fmt::format("its JSON is nested more than {} deep", kMostDeep));
    return true;
  }
  bool leave() {
    --depth_;
    return true;
  }

  const std::string& path_;
  std::uint64_t offset_;
  std::size_t depth_ = 0;
  std::vector<std::set<std::string>> keys_;
};

template <typename J>
J parse(const std::string& path, std::string_view text, std::uint64_t offset) {
  Gate gate(path, offset);
  Json::sax_parse(text, &gate);
  J json = J::parse(text, nullptr, false);
  if (!json.is_object()) refuse(path, fmt::format("its JSON at byte {} is no object", offset));
  return json;
}

}  // namespace

std::string shown(const std::string& name) {
  std::string text = Json(name.substr(0, kMostShown)).dump(-1, ' ', true, Json::error_handler_t::replace);
  text = text.substr(1, text.size() - 2);
  return name.size() > kMostShown ? text + "..." : text;
}

Json parse_object(const std::string& path, std::string_view text, std::uint64_t offset) { return parse<Json>(path, text, offset); }

nlohmann::json parse_table(const std::string& path, std::string_view text, std::uint64_t offset) {
  return parse<nlohmann::json>(path, text, offset);
}

std::string read_text(const std::string& path, std::uint64_t most_bytes) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::array<char, 64 * 1024> block{};
  while (file && text.size() <= most_bytes) {
    file.read(block.data(), block.size());
    text.append(block.data(), static_cast<std::size_t>(file.gcount()));
  }
  if (text.size() > most_bytes) refuse(path, fmt::format("it has more than the {} bytes that such a file may have", most_bytes));
  if (!file.is_open() || file.bad() || !file.eof()) {
    const std::error_code code(errno != 0 ? errno : EIO, std::system_category());
    throw Error(ErrorKind::input, fmt::format("cannot read {}: {}; check the path", path, code.message()), code);
  }
  refuse_other_kind(path, text);
  return text;
}

}  // namespace gsnake::hf
