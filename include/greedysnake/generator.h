// Goes on with texts: tokens that a model draws, of a run's last commit or of a Hugging Face folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "greedysnake/config.h"
#include "greedysnake/results.h"
#include "greedysnake/unit.h"

namespace gsnake {

struct SamplingOptions {
  double temperature = 0.8;  // 0: the most likely token
  std::int64_t top_k = 0;    // the most likely ones; 0: all
  double top_p = 1.0;        // then the fewest whose probabilities reach it, at least one; 1: all
  std::uint64_t seed = 1;    // each text draws as if it was alone
};

// Throws Error(usage) that names the option.
void check(const SamplingOptions& options);

// Where a model's weights are, and what it may take.
struct ModelOptions {
  std::vector<std::string> ssd_paths;  // of a run: as of run_config()
  std::string device;                  // in place of the run's memory.device; "": that, of a folder "cpu"
  std::uint64_t device_budget = 0;     // likewise, bytes; 0: the run's, of a folder Config's own
  std::uint64_t host_budget = 0;
  std::int64_t context = 0;            // tokens that a text has at most; 0: of a run train.sequence_length, of a folder the model's
};

struct GenerateOptions {
  SamplingOptions sampling;
  std::int64_t tokens = 200;       // that are added to each prompt, at most
  std::vector<std::int64_t> stop;  // ids of tokens that end a text and are no part of it
  // Whether what followed the last tokens when they stood in the text before is computed along with them, as a guess: several tokens a pass where it
  // comes true. What is drawn is the same.
  bool drafts = true;
  // Given each token as soon as it is drawn, on a thread of the call's own; false: the text ends with it. What it throws ends generate(). May be empty.
  std::function<bool(std::size_t prompt, std::int64_t token)> take;
};

struct GeneratedText {
  std::vector<std::int64_t> tokens;
  bool stopped = false;  // by a token of GenerateOptions::stop, or by take()
};

// What was done so far.
struct GenerationCounts {
  std::int64_t passes = 0;      // over the weights
  std::int64_t positions = 0;   // tokens that went through the blocks
  std::int64_t drafted = 0;     // of these, guesses,
  std::int64_t accepted = 0;    // and those that came true
  std::uint64_t read_bytes = 0; // of weights, from a drive
};

// Opens a run's last commit for reading, also while it is trained: until this ends, its trainer commits no other step on its way, and waits
// for it when it has to (the first step after a Trainer::commit() that came meanwhile; every run that overwrites its one slot).
// Weights stay in memory as far as the budgets allow; the rest is read for every pass. Each pass is for all texts, and computes what is new in each:
// keys and values of earlier tokens are kept, on the device or the host, and charged to their budgets. (Of units that are no CachedUnit, whole texts
// are computed for every token, and a line of the log says so.) One thread at a time.
class Generator {
 public:
  // Of the run in `run_dir`, which is of a built-in family. Throws Error(storage) when it holds no commit, Error(usage) for a device that is not there.
  explicit Generator(const std::string& run_dir, const ModelOptions& options = {});
  // Of a run of any model.
  Generator(Model model, const std::string& run_dir, const ModelOptions& options = {});
  // Of a Hugging Face folder, in fp32 (on a GPU, in bf16 what is bf16 there). Nothing is written. Throws Error(input).
  static Generator of_folder(const std::string& folder, const ModelOptions& options = {});
  ~Generator();
  Generator(Generator&&) noexcept;
  Generator& operator=(Generator&&) noexcept;

  // Goes on with each prompt. A text may become longer than context(): then its last half counts as a new beginning, as do a prompt's last
  // context() tokens. With temperature 0 what is added to a prompt does not depend on the others, but for tokens whose logits are equal up to rounding:
  // matrices are multiplied with all new tokens at once, which may change the last bits. Throws Error(usage) when there is no prompt, one is empty, or
  // has an id that is not below model.vocab, and as check(options); Error(budget) with what needs what where keys and values find no room;
  // Error(storage), Error(input).
  std::vector<GeneratedText> generate(const std::vector<std::vector<std::int64_t>>& prompts, const GenerateOptions& options = {});

  [[nodiscard]] const Config& config() const;  // run.dir and ssd.paths are where they were found
  [[nodiscard]] std::int64_t context() const;  // ModelOptions::context
  [[nodiscard]] GenerationCounts counts() const;
  // How the budgets are used since the last generate().
  [[nodiscard]] const std::vector<MemoryItem>& memory() const;

 private:
  class Impl;
  explicit Generator(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gsnake
