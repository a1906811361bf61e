#include <queue>
#include <tuple>
#include <utility>
#include <vector>

#include "tokenizer/models.h"
#include "tokenizer/unicode.h"

namespace gsnake::tokenizer {

namespace {

struct Merge {
  std::size_t rank = 0;
  std::int64_t id = 0;
};

// A piece as a list that symbols are taken out of; places are indices, and that behind the last is the list's size.
struct Symbol {
  std::int64_t id = 0;
  std::size_t before = 0;
  std::size_t next = 0;
  bool merged = false;  // into the one before it
};
using Symbols = std::vector<Symbol>;

// A pair that could be merged when this was made.
struct Candidate {
  Merge merge;
  std::size_t place = 0;  // of its left symbol

  // The lowest rank first, of equal ones the leftmost.
  bool operator<(const Candidate& other) const { return std::tie(other.merge.rank, other.place) < std::tie(merge.rank, place); }
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
    for (std::size_t i = 0; i < merges.size(); ++i) add(merges[i], i);
  }

  void encode(const std::string& piece, std::vector<std::int64_t>& ids) const override {
    if (const auto whole = vocabulary_.find(piece); ignores_merges_ && whole != vocabulary_.end()) {
      ids.push_back(whole->second);
      return;
    }
    Symbols symbols = characters_of(piece);
    merge(symbols);
    for (std::size_t i = 0; i < symbols.size(); i = symbols[i].next) ids.push_back(symbols[i].id);
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

  // "left right", or a list of the two. Of a pair that is there twice the last counts.
  void add(const Json& merge, std::size_t rank) {
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
    if (left.empty() || right.empty()) refuse(path_, fmt::format("merge {} of it is no pair of tokens", rank));
    merges_.insert_or_assign(key(known(left), known(right)), Merge{rank, known(left + right)});
  }

  [[nodiscard]] Symbols characters_of(const std::string& piece) const {
    Symbols symbols;
    for (std::string_view rest = piece; !rest.empty();) {
      const auto size = character_bytes(rest);
      symbols.push_back({known(std::string(rest.substr(0, size))), symbols.size() - 1, symbols.size() + 1, false});
      rest.remove_prefix(size);
    }
    return symbols;
  }

  [[nodiscard]] const Merge* merge_at(const Symbols& symbols, std::size_t place) const {
    const std::size_t next = symbols[place].next;
    if (next >= symbols.size()) return nullptr;
    const auto found = merges_.find(key(symbols[place].id, symbols[next].id));
    return found == merges_.end() ? nullptr : &found->second;
  }

  // Each merge makes two candidates at most: n log n in all.
  void merge(Symbols& symbols) const {
    std::priority_queue<Candidate> queue;
    const auto offer = [&](std::size_t place) {
      if (const Merge* found = merge_at(symbols, place)) queue.push({*found, place});
    };
    for (std::size_t i = 0; i < symbols.size(); ++i) offer(i);
    while (!queue.empty()) {
      const Candidate best = queue.top();
      queue.pop();
      if (symbols[best.place].merged) continue;
      // What was there may have been merged since. As the library, which asks whether the same token comes of it, not whether of the same
      // pair.
      const Merge* now = merge_at(symbols, best.place);
      if (now == nullptr || now->id != best.merge.id) continue;
      Symbol& left = symbols[best.place];
      Symbol& right = symbols[left.next];
      left.id = best.merge.id;
      left.next = right.next;
      right.merged = true;
      if (left.next < symbols.size()) symbols[left.next].before = best.place;
      if (best.place > 0) offer(left.before);
      offer(best.place);
    }
  }

  std::string path_;
  bool ignores_merges_;
  Vocabulary vocabulary_;
  std::unordered_map<std::uint64_t, Merge> merges_;
};

}  // namespace

std::unique_ptr<PieceModel> make_bpe(const std::string& path, const Json& model) { return std::make_unique<Bpe>(path, model); }

}  // namespace gsnake::tokenizer
