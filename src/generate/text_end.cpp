#include "generate/text_end.h"

#include <algorithm>
#include <filesystem>

#include "hf/json.h"
#include "hf/refusal.h"

namespace gsnake::generate {
namespace {

constexpr const char* kGenerationConfig = "generation_config.json";
constexpr const char* kConfig = "config.json";

// Bytes at the end of `text` that begin a character of UTF-8 and do not end it.
std::size_t cut_character(std::string_view text) {
  constexpr std::size_t kLongest = 4;
  for (std::size_t back = 1; back <= std::min(text.size(), kLongest - 1); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0U) == 0x80U) continue;  // goes on with a character
    const std::size_t size = byte >= 0xF0U && byte < 0xF8U ? 4 : byte >= 0xE0U && byte < 0xF0U ? 3 : byte >= 0xC2U && byte < 0xE0U ? 2 : 1;
    return back < size ? back : 0;
  }
  return 0;
}

}  // namespace

std::vector<std::int64_t> end_tokens(const std::vector<std::string>& files) {
  for (const char* name : {kGenerationConfig, kConfig}) {
    const auto path = std::find_if(files.begin(), files.end(), [&](const std::string& file) { return std::filesystem::path(file).filename() == name; });
    if (path == files.end()) continue;
    const hf::Json json = hf::parse_object(*path, hf::read_text(*path, hf::kMostConfigBytes));
    const auto found = json.find("eos_token_id");
    if (found == json.end() || found->is_null()) continue;
    std::vector<std::int64_t> ids;
    for (const hf::Json& id : found->is_array() ? *found : hf::Json::array({*found})) {
      if (!id.is_number_integer()) hf::refuse(*path, "\"eos_token_id\" is neither a token id nor a list of them");
      ids.push_back(id.get<std::int64_t>());
    }
    return ids;
  }
  return {};
}

std::string TextStream::add(std::string_view bytes) {
  if (stopped_) return {};
  held_ += bytes;
  std::size_t stop = std::string::npos;
  for (const std::string& text : stops_) stop = std::min(stop, held_.find(text));
  if (stop != std::string::npos) {
    stopped_ = true;
    return held_.substr(0, stop);
  }
  const std::size_t kept = std::max(beginning_of_stop(), cut_character(held_));
  std::string shown = held_.substr(0, held_.size() - kept);
  held_.erase(0, shown.size());
  return shown;
}

std::string TextStream::finish() { return stopped_ ? std::string() : std::exchange(held_, {}); }

// Bytes at the end that some stop string begins with.
std::size_t TextStream::beginning_of_stop() const {
  std::size_t most = 0;
  for (const std::string& stop : stops_) {
    for (std::size_t size = std::min(stop.size() - 1, held_.size()); size > most; --size) {
      if (std::string_view(held_).ends_with(std::string_view(stop).substr(0, size))) most = size;
    }
  }
  return most;
}

}  // namespace gsnake::generate
