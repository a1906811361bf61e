#include <utility>

#include "tokenizer/models.h"
#include "tokenizer/unicode.h"

namespace gsnake::tokenizer {

namespace {

struct Merge {
  std::size_t rank = 0;
  std::int64_t id = 0;
};

class Bpe final : public PieceModel {
 public:
  Bpe(const std::string& path, const Json& model) : path_(path), ignores_merges_(flag(model, "ignore_merges", false)) {
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!text_or_nothing(model, key).empty()) refuse_unknown(path, fmt::format("BPE with \"{}\"", key));
    }
    if (model.contains("dropout") && model["dropout"].is_number() && model["dropout"] != 0) refuse_unknown(path, "BPE with dropout");
    const auto& vocabulary = at(path, model, "vocab");
    if (!vocabulary.is_object()) refuse(path, "its BPE's \"vocab\" is no table of tokens");
    for (const auto& [token, id] : vocabulary.items()) vocabulary_.emplace(token, id_of(path, id));
    const auto& merges = at(path, model, "merges");
    if (!merges.is_array()) refuse(path, "its \"merges\" are no list");
    for (const auto& merge : merges) add(merge);
  }

  void encode(const std::string& piece, std::vector<std::int64_t>& ids) const override {
    if (const auto whole = vocabulary_.find(piece); ignores_merges_ && whole != vocabulary_.end()) {
      ids.push_back(whole->second);
      return;
    }
    auto symbols = characters_of(piece);
    for (;;) {
      const Merge* best = nullptr;
      std::size_t place = 0;
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
        const auto merge = merges_.find(key(symbols[i], symbols[i + 1]));
        if (merge == merges_.end() || (best != nullptr && merge->second.rank >= best->rank)) continue;
        best = &merge->second;
        place = i;
      }
      if (best == nullptr) break;
      symbols[place] = best->id;
      symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(place) + 1);
    }
    ids.insert(ids.end(), symbols.begin(), symbols.end());
  }

  [[nodiscard]] const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  // Ids are below 2^31.
  static std::uint64_t key(std::int64_t left, std::int64_t right) {
    return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint64_t>(right);
  }

  [[nodiscard]] std::int64_t known(const std::string& token) const {
    const auto found = vocabulary_.find(token);
    if (found == vocabulary_.end()) refuse(path_, fmt::format("its \"vocab\" has no token \"{}\"", token));
    return found->second;
  }

  // "left right", or a list of the two.
  void add(const Json& merge) {
    std::string left;
    std::string right;
    if (merge.is_string()) {
      const auto text = merge.get<std::string>();
      const auto space = text.find(' ');
      if (space != std::string::npos) {
        left = text.substr(0, space);
        right = text.substr(space + 1);
      }
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      left = merge[0];
      right = merge[1];
    }
    if (left.empty() || right.empty()) refuse(path_, fmt::format("merge {} of it is no pair of tokens", merges_.size()));
    merges_.emplace(key(known(left), known(right)), Merge{merges_.size(), known(left + right)});
  }

  [[nodiscard]] std::vector<std::int64_t> characters_of(const std::string& piece) const {
    std::vector<std::int64_t> symbols;
    for (std::string_view rest = piece; !rest.empty();) {
      const auto size = character_bytes(rest);
      symbols.push_back(known(std::string(rest.substr(0, size))));
      rest.remove_prefix(size);
    }
    return symbols;
  }

  std::string path_;
  bool ignores_merges_;
  Vocabulary vocabulary_;
  std::unordered_map<std::uint64_t, Merge> merges_;
};

}  // namespace

std::unique_ptr<PieceModel> make_bpe(const std::string& path, const Json& model) { return std::make_unique<Bpe>(path, model); }

}  // namespace gsnake::tokenizer
