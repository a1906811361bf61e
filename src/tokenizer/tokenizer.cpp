#include "tokenizer/tokenizer.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "core/what_file.h"
#include "greedysnake/error.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/file.h"
#include "tokenizer/models.h"
#include "tokenizer/pieces.h"
#include "tokenizer/unicode.h"

namespace gsnake::tokenizer {

namespace {

class Bytes final : public Tokenizer {
 public:
  [[nodiscard]] std::vector<std::int64_t> encode(std::string_view text) const override {
    std::vector<std::int64_t> ids;
    for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
    return ids;
  }
  [[nodiscard]] std::string decode(std::int64_t id) const override {
    return id >= 0 && id < size() ? std::string(1, static_cast<char>(static_cast<unsigned char>(id))) : std::string(kReplacement);
  }
  [[nodiscard]] std::int64_t size() const override { return 256; }
};

class HuggingFace final : public Tokenizer {
 public:
  HuggingFace(const std::string& path, const Json& json) : path_(path), cutter_(path, json) {
    const auto& model = at(path, json, "model");
    const auto type = text_or_nothing(model, "type");
    if (type == "BPE" && cutter_.is_byte_level()) {
      model_ = make_bpe(path, model);
    } else if (type == "Unigram" && !cutter_.is_byte_level()) {
      model_ = make_unigram(path, model);
    } else {
      refuse_unknown(path, type == "BPE" ? "BPE that is not byte-level" : fmt::format("a model of type \"{}\"", type));
    }
    for (const auto& [token, id] : model_->vocabulary()) set_token(id, bytes_of(token));
    if (json.contains("added_tokens") && json["added_tokens"].is_array()) add_tokens(json["added_tokens"]);
    if (json.contains("post_processor") && !json["post_processor"].is_null()) add_template(json["post_processor"]);
  }

  [[nodiscard]] std::vector<std::int64_t> encode(std::string_view text) const override {
    std::vector<std::int64_t> ids = before_;
    const auto add = [&](std::int64_t id) { ids.push_back(id); };
    // As the library: tokens that stand for themselves are found in the text as it is, the others in what the normalizer makes of the rest.
    raw_.split(
        text,
        [&](std::string_view part, std::size_t place) {
          const std::string normal = cutter_.normalize(std::string(part));
          const std::size_t of_first = place > 0 ? 0 : cutter_.normalize(std::string(part.substr(0, character_bytes(part)))).size();
          const auto encode_piece = [&](std::string_view inner, std::size_t begin) {
            for (const auto& piece : cutter_.cut(std::string(inner), of_first - std::min(of_first, begin))) model_->encode(piece, ids);
          };
          normalized_.split(normal, encode_piece, add);
        },
        add);
    ids.insert(ids.end(), behind_.begin(), behind_.end());
    return ids;
  }

  [[nodiscard]] std::string decode(std::int64_t id) const override {
    const bool known = id >= 0 && id < size() && tokens_[static_cast<std::size_t>(id)];
    return known ? *tokens_[static_cast<std::size_t>(id)] : std::string(kReplacement);
  }

  [[nodiscard]] std::int64_t size() const override { return static_cast<std::int64_t>(tokens_.size()); }

 private:
  void set_token(std::int64_t id, std::string bytes) {
    constexpr std::size_t kMostTokens = 1 << 21;
    const auto index = static_cast<std::size_t>(id);
    if (index >= kMostTokens) refuse(path_, fmt::format("token id {} is more than any vocabulary has", id));
    if (index >= tokens_.size()) tokens_.resize(index + 1);
    tokens_[index] = std::move(bytes);
  }

  // What a token of the model's vocabulary stands for.
  [[nodiscard]] std::string bytes_of(const std::string& token) const {
    std::string bytes;
    if (cutter_.is_byte_level()) {
      static const auto bytes_by_character = [] {
        Vocabulary inverse;
        for (std::size_t byte = 0; byte < 256; ++byte) inverse.emplace(byte_characters()[byte], static_cast<std::int64_t>(byte));
        return inverse;
      }();
      for (std::string_view rest = token; !rest.empty();) {
        const auto character = std::string(rest.substr(0, character_bytes(rest)));
        const auto byte = bytes_by_character.find(character);
        bytes += byte == bytes_by_character.end() ? character : std::string(1, static_cast<char>(byte->second));
        rest.remove_prefix(character.size());
      }
      return bytes;
    }
    unsigned byte = 0;
    if (token.size() == 6 && token.starts_with("<0x") && token.ends_with(">") && std::sscanf(token.c_str(), "<0x%2X>", &byte) == 1) {
      return {static_cast<char>(byte)};
    }
    constexpr std::string_view kSpace = "\xe2\x96\x81";  // U+2581, Metaspace's
    for (std::size_t i = 0; i < token.size();) {
      const bool is_space = std::string_view(token).substr(i).starts_with(kSpace);
      bytes += is_space ? ' ' : token[i];
      i += is_space ? kSpace.size() : 1;
    }
    return bytes;
  }

  // The library numbers tokens that the model has not behind it, one after another, whatever the file says.
  std::int64_t id_of_added(const std::string& content) {
    if (const auto known = model_->vocabulary().find(content); known != model_->vocabulary().end()) return known->second;
    const auto next = static_cast<std::int64_t>(model_->vocabulary().size() + added_ids_.size());
    const auto [place, is_new] = added_ids_.try_emplace(content, next);
    const auto index = static_cast<std::size_t>(next);
    if (is_new && index < tokens_.size() && tokens_[index])
      refuse(path_,
             fmt::format("its added token {} gets the id {}, which another token has: the ids of its \"vocab\" have holes", content, next));
    return place->second;
  }

  void add_tokens(const Json& list) {
    std::unordered_map<std::string, std::pair<bool, bool>> kinds;
    for (const auto& entry : list) {
      const auto content = text_at(path_, entry, "content");
      static_cast<void>(id_of(path_, at(path_, entry, "id")));
      if (content.empty()) refuse(path_, "one of its added tokens is empty");
      for (const char* rule : {"lstrip", "rstrip", "single_word"}) {
        if (flag(entry, rule, false)) refuse_unknown(path_, fmt::format("the {} of its added token {}", rule, content));
      }
      const bool special = flag(entry, "special", false);
      const std::pair kind(special, flag(entry, "normalized", !special));
      if (kinds.try_emplace(content, kind).first->second != kind)
        refuse(path_, fmt::format("it lists its added token {} twice, with other rules", content));
      set_token(id_of_added(content), content);
    }
    // Of two that are found alike, one that is special counts.
    for (const bool special : {true, false}) {
      for (const auto& entry : list) {
        const auto content = text_at(path_, entry, "content");
        const auto kind = kinds.find(content);
        if (kind == kinds.end() || kind->second.first != special) continue;
        if (!kind->second.second) {
          raw_.add(content, id_of_added(content));
        } else if (auto normal = cutter_.normalize(content); !normal.empty()) {
          normalized_.add(std::move(normal), id_of_added(content));
        }
        kinds.erase(kind);
      }
    }
  }

  void add_template(const Json& part) {
    const auto type = text_at(path_, part, "type");
    if (type == "ByteLevel") return;  // offsets alone
    if (type == "Sequence") {
      for (const auto& inner : at(path_, part, "processors")) add_template(inner);
      return;
    }
    if (type != "TemplateProcessing") refuse_unknown(path_, "the post-processor " + type);
    bool is_before = true;
    for (const auto& item : at(path_, part, "single")) {
      if (item.contains("Sequence")) {
        is_before = false;
        continue;
      }
      const auto& special = at(path_, at(path_, part, "special_tokens"), text_at(path_, at(path_, item, "SpecialToken"), "id").c_str());
      for (const auto& id : at(path_, special, "ids")) (is_before ? before_ : behind_).push_back(id_of(path_, id));
    }
  }

  std::string path_;
  PieceCutter cutter_;
  std::unique_ptr<PieceModel> model_;
  std::vector<std::optional<std::string>> tokens_;  // by id
  Vocabulary added_ids_;                            // of those that the model has not
  AddedTokens raw_;
  AddedTokens normalized_;            // as the normalizer writes them
  std::vector<std::int64_t> before_;  // what the template puts before a text
  std::vector<std::int64_t> behind_;
};

std::string read_file(const std::string& path) {
  constexpr std::uint64_t kMostBytes = 256ULL << 20;
  std::error_code unknown;
  if (std::filesystem::is_directory(path, unknown)) refuse(path, "it is a folder; name the tokenizer.json in it");
  if (const auto size = std::filesystem::file_size(path, unknown); !unknown && size > kMostBytes) {
    refuse(path, fmt::format("it has {} bytes, more than the {} that such a file may have", size, kMostBytes));
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (!file || file.bad()) {
    const std::error_code code(errno, std::generic_category());
    const std::string target = core::lost_target(path);
    if (!target.empty()) refuse(path, fmt::format("it is a link to {}, which is not there; download it again", target));
    refuse(path, fmt::format("{}; check data.tokenizer or --tokenizer", code.message()));
  }
  std::string bytes = text.str();
  if (const auto kind = core::other_kind(bytes); !kind.empty()) refuse(path, std::string(kind));
  return bytes;
}

// Its parts hold parts: what is read of them goes as deep as they do.
Json parse(const std::string& path, const std::string& text) {
  constexpr int kMostDeep = 64;
  return Json::parse(text, [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kMostDeep) refuse(path, fmt::format("its JSON is nested more than {} deep", kMostDeep));
    return true;
  });
}

}  // namespace

std::unique_ptr<Tokenizer> load(const std::string& name) {
  if (name == "bytes") return std::make_unique<Bytes>();
  try {
    return std::make_unique<HuggingFace>(name, parse(name, read_file(name)));
  } catch (const Json::parse_error& error) {
    refuse(name, fmt::format("offset {}: it is not JSON", error.byte == 0 ? 0 : error.byte - 1));
  } catch (const Json::exception& error) {
    refuse(name, fmt::format("it is no tokenizer.json of Hugging Face's: {}", error.what()));
  }
}

}  // namespace gsnake::tokenizer
