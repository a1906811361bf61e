// The choices of a config: the values of each, and the words that a config has for them. Parsing, messages and docs/config.md follow these lists.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gsnake {

// Of each choice, in the order of its values.
template <typename Choice>
inline constexpr std::array<const char*, 0> kWords{};

enum class ModelFamily : std::uint8_t { gpt2, llama, qwen2, qwen3, mistral };
template <>
inline constexpr auto kWords<ModelFamily> = std::array{"gpt2", "llama", "qwen2", "qwen3", "mistral"};

// How rotary positions are stretched beyond the context that a model was trained with.
enum class RopeScalingType : std::uint8_t { none, linear, llama3 };
template <>
inline constexpr auto kWords<RopeScalingType> = std::array{"", "linear", "llama3"};

enum class WindowOrder : std::uint8_t { shuffled, sequential };
template <>
inline constexpr auto kWords<WindowOrder> = std::array{"shuffled", "sequential"};

// What the ends of documents mean for rows.
enum class Documents : std::uint8_t {
  automatic,  // separate where every file lists its documents as examples, else joined
  joined,     // nothing: documents lie end to end, a row goes on with the next one
  masked,     // the same rows, but no label is counted that is the first token of a document
  separate,   // no row holds tokens of two documents
  packed,     // a row holds several whole documents, none of which sees another
};
template <>
inline constexpr auto kWords<Documents> = std::array{"auto", "joined", "masked", "separate", "packed"};

// Of the ids in a file of tokens that does not say.
enum class TokenDtype : std::uint8_t { automatic, uint8, uint16, int32, uint32, int64, uint64 };
template <>
inline constexpr auto kWords<TokenDtype> = std::array{"auto", "uint8", "uint16", "int32", "uint32", "int64", "uint64"};

enum class Dtype : std::uint8_t { fp32, bf16, fp16 };
template <>
inline constexpr auto kWords<Dtype> = std::array{"fp32", "bf16", "fp16"};

enum class ComputeDtype : std::uint8_t { automatic, fp32 };
template <>
inline constexpr auto kWords<ComputeDtype> = std::array{"auto", "fp32"};

enum class ThreadPinning : std::uint8_t { never, apart };
template <>
inline constexpr auto kWords<ThreadPinning> = std::array{"never", "apart"};

enum class Schedule : std::uint8_t { vertical, horizontal };
template <>
inline constexpr auto kWords<Schedule> = std::array{"vertical", "horizontal"};

enum class MicroBatchOrder : std::uint8_t { automatic, snake, ascending };
template <>
inline constexpr auto kWords<MicroBatchOrder> = std::array{"auto", "snake", "ascending"};

enum class OnNonfinite : std::uint8_t { automatic, stop, skip };
template <>
inline constexpr auto kWords<OnNonfinite> = std::array{"auto", "stop", "skip"};

// adamw: decoupled decay; adam: L2 decay; lion: decoupled decay; sgd: momentum and L2 decay.
enum class UpdateRule : std::uint8_t { adamw, adam, lion, sgd };
template <>
inline constexpr auto kWords<UpdateRule> = std::array{"adamw", "adam", "lion", "sgd"};

// What a step minimises: the mean loss of its tokens; or, of pairs of answers, that the preferred one gains less than the other (Rafailov et
// al., 2023).
enum class Objective : std::uint8_t { tokens, dpo };
template <>
inline constexpr auto kWords<Objective> = std::array{"tokens", "dpo"};

// Of adapters: W + alpha / rank B A (Hu et al., 2021); alpha / sqrt(rank) in its place (Kalajdzievski, 2023); the sum's rows scaled to trained
// lengths (Liu et al., 2024).
enum class AdapterVariant : std::uint8_t { lora, rslora, dora };
template <>
inline constexpr auto kWords<AdapterVariant> = std::array{"lora", "rslora", "dora"};

enum class ClippingMode : std::uint8_t { automatic, deferred, speculative };
template <>
inline constexpr auto kWords<ClippingMode> = std::array{"auto", "deferred", "speculative"};

enum class LearningRateDecay : std::uint8_t { constant, cosine, linear, wsd };
template <>
inline constexpr auto kWords<LearningRateDecay> = std::array{"constant", "cosine", "linear", "wsd"};

enum class MomentFormat : std::uint8_t { fp32, bf16, automatic };  // automatic: the planner's to say
template <>
inline constexpr auto kWords<MomentFormat> = std::array{"fp32", "bf16", "auto"};

// cufile: GPUDirect Storage. automatic never takes it.
enum class EngineChoice : std::uint8_t { automatic, io_uring, threads, cufile };
template <>
inline constexpr auto kWords<EngineChoice> = std::array{"auto", "io_uring", "threads", "cufile"};

// Which reads are compared with the checksum of what was written.
enum class ReadChecks : std::uint8_t { always, resume };
template <>
inline constexpr auto kWords<ReadChecks> = std::array{"always", "resume"};

enum class Durability : std::uint8_t { commit, off };
template <>
inline constexpr auto kWords<Durability> = std::array{"commit", "off"};

// Whether a run goes on from the commit in run.dir: where there is one, never, or it must.
enum class Resume : std::uint8_t { automatic, never, must };
template <>
inline constexpr auto kWords<Resume> = std::array{"auto", "never", "must"};

// False for a value that the enum does not list.
template <typename Choice>
constexpr bool is_valid(Choice choice) {
  return static_cast<std::size_t>(choice) < kWords<Choice>.size();
}

// "?" for a value that is not valid.
template <typename Choice>
constexpr const char* word_of(Choice choice) {
  static_assert(!kWords<Choice>.empty(), "a choice has words");
  return is_valid(choice) ? kWords<Choice>[static_cast<std::size_t>(choice)] : "?";
}

template <typename Choice>
constexpr std::optional<Choice> choice_of(std::string_view word) {
  for (std::size_t i = 0; i < kWords<Choice>.size(); ++i) {
    if (word == kWords<Choice>[i]) return static_cast<Choice>(i);
  }
  return std::nullopt;
}

// "gpt2, llama, ...", for messages; the empty word is quoted.
template <typename Choice>
std::string listed_words() {
  std::string text;
  for (const std::string_view word : kWords<Choice>) text.append(text.empty() ? "" : ", ").append(word.empty() ? "\"\"" : word);
  return text;
}

}  // namespace gsnake
