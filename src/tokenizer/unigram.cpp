#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "tokenizer/models.h"
#include "tokenizer/unicode.h"

namespace gsnake::tokenizer {

namespace {

constexpr double kUnknownPenalty = 10.0;  // below the least likely token

class Unigram final : public PieceModel {
 public:
  Unigram(const std::string& path, const Json& model) : path_(path), bytes_(flag(model, "byte_fallback", false)) {
    const auto& vocabulary = at(path, model, "vocab");
    if (!vocabulary.is_array()) refuse(path, "its Unigram's \"vocab\" is no list of tokens and scores");
    for (const auto& entry : vocabulary) {
      const bool fits =
          entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_number() && std::isfinite(entry[1].get<double>());
      if (!fits) refuse(path, fmt::format("entry {} of \"vocab\" is no token with a score", scores_.size()));
      const auto token = entry[0].get<std::string>();
      vocabulary_.emplace(token, static_cast<std::int64_t>(scores_.size()));
      scores_.push_back(entry[1].get<double>());
      least_ = std::min(least_, scores_.back());
      longest_ = std::max(longest_, token.size());
    }
    if (model.contains("unk_id") && !model["unk_id"].is_null()) {
      unknown_ = id_of(path, model["unk_id"]);
      if (*unknown_ >= static_cast<std::int64_t>(scores_.size())) refuse(path, "\"unk_id\" is not one of its tokens");
    }
  }

  void encode(const std::string& piece, std::vector<std::int64_t>& ids) const override {
    std::vector<Step> path(piece.size() + 1);
    path[0].score = 0.0;
    for (std::size_t begin = 0; begin < piece.size();) {
      const auto character = character_bytes(std::string_view(piece).substr(begin));
      extend(piece, begin, character, path);
      begin += character;
    }
    std::vector<Span> spans;
    for (auto end = piece.size(); end > 0; end = path[end].begin) spans.push_back({path[end].begin, end, path[end].id});
    std::reverse(spans.begin(), spans.end());
    for (std::size_t i = 0; i < spans.size(); ++i) {
      if (spans[i].id >= 0) {
        ids.push_back(spans[i].id);
        continue;
      }
      // Neighbouring unknown characters are one token.
      const auto begin = spans[i].begin;
      while (i + 1 < spans.size() && spans[i + 1].id < 0) ++i;
      add_unknown(piece.substr(begin, spans[i].end - begin), ids);
    }
  }

  [[nodiscard]] const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  // The best way to where a token ends.
  struct Step {
    std::size_t begin = 0;
    std::int64_t id = -1;  // -1: unknown
    double score = -std::numeric_limits<double>::infinity();
  };

  struct Span {
    std::size_t begin = 0;
    std::size_t end = 0;
    std::int64_t id = -1;
  };

  void extend(const std::string& piece, std::size_t begin, std::size_t character, std::vector<Step>& path) const {
    const double so_far = path[begin].score;
    const auto offer = [&](std::size_t end, std::int64_t id, double score) {
      if (so_far + score > path[end].score) path[end] = {begin, id, so_far + score};
    };
    bool single = false;
    for (auto size = character; begin + size <= piece.size() && size <= longest_;) {
      if (const auto token = vocabulary_.find(piece.substr(begin, size)); token != vocabulary_.end()) {
        offer(begin + size, token->second, scores_[static_cast<std::size_t>(token->second)]);
        single = single || size == character;
      }
      if (begin + size == piece.size()) break;
      size += character_bytes(std::string_view(piece).substr(begin + size));
    }
    if (!single) offer(begin + character, -1, least_ - kUnknownPenalty);
  }

  void add_unknown(const std::string& text, std::vector<std::int64_t>& ids) const {
    std::vector<std::int64_t> bytes;
    for (const char byte : text) {
      const auto token = vocabulary_.find(fmt::format("<0x{:02X}>", static_cast<unsigned char>(byte)));
      if (bytes_ && token != vocabulary_.end()) bytes.push_back(token->second);
    }
    if (bytes_ && bytes.size() == text.size()) {
      ids.insert(ids.end(), bytes.begin(), bytes.end());
    } else if (unknown_) {
      ids.push_back(*unknown_);
    } else {
      refuse(path_, fmt::format("it has no token for \"{}\", and none for what is unknown", text));
    }
  }

  std::string path_;
  bool bytes_;
  Vocabulary vocabulary_;
  std::vector<double> scores_;
  double least_ = std::numeric_limits<double>::infinity();
  std::size_t longest_ = 0;
  std::optional<std::int64_t> unknown_;
};

}  // namespace

std::unique_ptr<PieceModel> make_unigram(const std::string& path, const Json& model) { return std::make_unique<Unigram>(path, model); }

}  // namespace gsnake::tokenizer
