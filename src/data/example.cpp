#include "data/example.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace gsnake::data {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kNoLabel = -100;  // Hugging Face's
constexpr std::array kMasks{"mask", "loss_mask", "completion_mask", "assistant_masks"};
constexpr const char* kLabels = "labels";
constexpr const char* kAttention = "attention_mask";
constexpr const char* kPositions = "position_ids";
// Tokenizers write it: which tokens are special, whether or not the loss counts them.
constexpr const char* kSpecialTokens = "special_tokens_mask";

class Parser {
 public:
  Parser(const std::string& line, std::int64_t vocab, const BadLine& bad) : vocab_(vocab), bad_(bad), json_(parse_object(line, "{\"tokens\": [1, 2], \"mask\": [0, 1]}", bad)) {}

  Example run() {
    refuse_lookalikes();
    refuse_packed();
    take_ids();
    take_opinions();
    check_positions();
    leave_padding_out();
    return std::move(example_);
  }

 private:
  // A list of integers, or nullptr where there is none.
  const Json* list(const char* key) const {
    const auto found = json_.find(key);
    if (found == json_.end()) return nullptr;
    const bool integers = found->is_array() && std::all_of(found->begin(), found->end(), is_integer);
    if (!integers) bad_(0, fmt::format("\"{}\" is not a list of integers", key));
    return &*found;
  }
  const Json* list_of_each(const char* key) const {
    const Json* values = list(key);
    if (values != nullptr && values->size() != example_.ids.size())
      bad_(0, fmt::format("{} values in \"{}\" for {} token ids", values->size(), key, example_.ids.size()));
    return values;
  }

  static bool is_known(const std::string& key) {
    return key == kLabels || key == kAttention || key == kSpecialTokens || std::find(kMasks.begin(), kMasks.end(), key) != kMasks.end();
  }

  void refuse_lookalikes() const {
    const auto key = lookalike(json_, is_known);
    if (key.empty()) return;
    bad_(0, fmt::format("\"{}\" looks as if it said what the loss counts, and would be passed over; write it as \"mask\" (0 or 1 a token) or \"labels\" (the id, "
                        "or -100), or take it out",
                        key));
  }

  void take_ids() {
    const Json* tokens = list("tokens");
    const Json* input_ids = list("input_ids");
    if (tokens != nullptr && input_ids != nullptr && *tokens != *input_ids) bad_(0, "\"tokens\" and \"input_ids\" differ; take one of them out");
    const Json* ids = tokens != nullptr ? tokens : input_ids;
    if (ids == nullptr && json_.contains("chosen") && json_.contains("rejected"))
      bad_(0, "it is a preference pair: set train.objective = \"dpo\", or write the answer to learn as \"tokens\" and \"mask\"");
    if (ids == nullptr || ids->empty()) bad_(0, "it has no \"tokens\" (nor \"input_ids\"); text is turned into them by scripts/tokenize");
    example_.ids = ids_of(*ids, vocab_, bad_);
    example_.counted.assign(example_.ids.size(), 1);
  }

  std::vector<std::uint8_t> opinion_of(const char* key, const Json& marks) const {
    const bool labels = key == kLabels;
    std::vector<std::uint8_t> counted;
    for (std::size_t i = 0; i < marks.size(); ++i) {
      const std::int64_t value = integer(marks[i]);
      const bool counts = value == (labels ? example_.ids[i] : 1);
      if (!counts && value != (labels ? kNoLabel : 0)) {
        bad_(0, fmt::format("{} in \"{}\" (number {} of its line) must be {}", value, key, i, labels ? "-100 or the token's own id" : "0 or 1"));
      }
      counted.push_back(counts ? 1 : 0);
    }
    return counted;
  }

  void take_opinions() {
    const char* first = nullptr;
    const auto take = [&](const char* key) {
      const Json* marks = list_of_each(key);
      if (marks == nullptr) return;
      std::vector<std::uint8_t> counted = opinion_of(key, *marks);
      if (first != nullptr && counted != example_.counted)
        bad_(0, fmt::format("\"{}\" and \"{}\" differ in what the loss counts; take one of them out", first, key));
      if (first == nullptr) first = key;
      example_.counted = std::move(counted);
    };
    for (const char* key : kMasks) take(key);
    take(kLabels);
  }

  // What packs several documents, which would not see one another, into a line.
  void refuse_packed() const {
    for (const auto& [key, one] : {std::pair("seq_lengths", 1), std::pair("cu_seqlens", 2), std::pair("cu_seq_lens", 2), std::pair("cu_seq_lens_q", 2)}) {
      const auto found = json_.find(key);
      if (found != json_.end() && found->is_array() && found->size() > static_cast<std::size_t>(one))
        bad_(0, fmt::format("\"{}\" says that several documents are packed in it: write documents as lines of their own", key));
    }
    for (const char* key : {"document_ids", "segment_ids", "seq_idx"}) {
      const auto found = json_.find(key);
      if (found != json_.end() && found->is_array() && std::adjacent_find(found->begin(), found->end(), std::not_equal_to<>()) != found->end())
        bad_(0, fmt::format("\"{}\" says that several documents are packed in it: write documents as lines of their own", key));
    }
  }

  // Positions that start over are of several documents likewise.
  void check_positions() const {
    const Json* positions = list_of_each(kPositions);
    const Json* attention = list_of_each(kAttention);
    if (positions == nullptr) return;
    std::int64_t expected = 0;
    for (std::size_t i = 0; i < positions->size(); ++i) {
      if (attention != nullptr && integer((*attention)[i]) == 0) continue;
      if (integer((*positions)[i]) != expected)
        bad_(0, fmt::format("\"position_ids\" has {} where its tokens, counted, have {} (number {} of its line): write documents as lines of their own",
                            integer((*positions)[i]), expected, i));
      ++expected;
    }
  }

  void leave_padding_out() {
    const Json* attention = list_of_each(kAttention);
    if (attention == nullptr) return;
    std::size_t first = attention->size();
    std::size_t end = 0;
    std::size_t ones = 0;
    for (std::size_t i = 0; i < attention->size(); ++i) {
      const std::int64_t value = integer((*attention)[i]);
      if (value != 0 && value != 1) bad_(0, fmt::format("{} in \"{}\" (number {} of its line) must be 0 or 1", value, kAttention, i));
      if (value == 0) continue;
      first = std::min(first, i);
      end = i + 1;
      ++ones;
    }
    if (ones == 0) bad_(0, "its \"attention_mask\" leaves no token; take the line out");
    if (ones != end - first) bad_(0, "\"attention_mask\" is 0 between tokens where it is 1: only padding at the ends can be left out");
    const auto cut = [&](auto& values) {
      values.erase(values.begin() + static_cast<std::ptrdiff_t>(end), values.end());
      values.erase(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(first));
    };
    cut(example_.ids);
    cut(example_.counted);
  }

  const std::int64_t vocab_;
  const BadLine& bad_;
  const Json json_;
  Example example_;
};

}  // namespace

Example parse_example(const std::string& line, std::int64_t vocab, const BadLine& bad) { return Parser(line, vocab, bad).run(); }

}  // namespace gsnake::data
