// Trains a model whose weights, optimizer state and activations are streamed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "greedysnake/batch.h"
#include "greedysnake/batch_source.h"
#include "greedysnake/config.h"
#include "greedysnake/results.h"
#include "greedysnake/unit.h"

namespace gsnake {

namespace train {
struct Parts;
}
namespace dist {
class RankGroup;
}

struct TrainerOptions {
  Resume resume = Resume::automatic;
  bool overwrite = false;                // with Resume::never: over a run that is there
  std::vector<std::string> allow_change{};  // keys whose change a resume accepts although it changes the maths
  std::optional<std::int64_t> from_step{};  // resume from the snapshot of that step, which becomes the last commit
  // The machine profile by which steps are predicted and choices made that the config leaves "auto". Empty: the one that was measured on this
  // machine for these paths (docs/planner.md), which is measured first where there are choices to make and there is none.
  std::string machine{};
  // Told what the constructor does, whenever that changes or goes on, and how far it is in bytes where that is known (else 0 of 0). What it
  // throws ends the construction (it is called on other threads than the constructor's caller, which waits meanwhile): a new run leaves nothing behind, an earlier one stays at its last commit.
  std::function<void(const std::string& what, std::uint64_t done, std::uint64_t total)> progress{};
  // Of a config whose choices were made before: what was chosen, for the report.
  std::vector<std::string> choices{};
  // What the batches are made of, as JSON, kept in every commit: a resume that says something else is refused unless allow_change names data.train. Any JSON will do;
  // run_training() says what its files hold. Empty: the paths of data.train stand for it.
  std::string data{};
  // Of tests: another device or another backend than the config's (src/train/parts.h).
  std::shared_ptr<const train::Parts> parts{};
  // The group of config.ranks, where there are several, that the caller has joined; null: the trainer joins it.
  std::shared_ptr<dist::RankGroup> group{};
};

// Of several ranks (config.ranks, docs/ranks.md), every process has one, and makes the same calls with the same arguments; each takes its share of every batch. A rank
// that fails makes the others' calls throw Error(rank).
//
// One thread drives a trainer. Everything that can be refused is refused by the constructor, with nothing left behind: Error(usage),
// Error(budget) with a table, Error(storage). A failure in a step surfaces in step(), wait() or commit(), once and for good.
class Trainer {
 public:
  Trainer(Model model, const Config& config, const TrainerOptions& options = {});
  ~Trainer();  // a run that never committed leaves nothing behind
  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) = delete;

  // One optimizer update over all micro-batches. Returns when loss and gradient norm are known; what is left of the update runs on.
  StepResult step(const BatchView& batch);

  // The same in two halves, so that the next step's reads begin before this one ends: at most two steps are submitted and not waited for. The
  // batch is the caller's again when this returns.
  void submit(const BatchView& batch);
  StepResult wait();  // for the oldest that was submitted
  [[nodiscard]] std::int64_t in_flight() const;  // steps submitted and not waited for

  // Mean loss over all micro-batches' counted tokens, NaN where there are none, in evaluation mode. No step may be waiting.
  double validate(const BatchView& batch);
  // Of the pairs of the last validate(); nothing before it, or under another objective than preferences.
  [[nodiscard]] std::optional<Rewards> validation_rewards() const;

  // Applies what is delayed, brings everything to SSD and commits: the run can be resumed, exported and sampled from here. With
  // run.durability = "commit", every run.commit_every steps are committed besides, while later steps run.
  void commit();

  // Of the state on SSD after commit(), all ranks' parts of it: unit `unit`'s parameters, flat, fp32, in registration order, each padded to 16 elements.
  std::vector<float> weights(std::int64_t unit);

  // Where the data stands after the batch that is submitted next: the caller's to set before each submit, kept in every commit, given back by a
  // resume.
  void set_data_position(DataPosition position);
  [[nodiscard]] const DataPosition& data_position() const;

  Traffic take_traffic();
  [[nodiscard]] std::int64_t completed_steps() const;
  [[nodiscard]] std::int64_t committed_step() const;
  // The task that has been under way longest, for whoever waits: "ssd_write: write chunk 3 of step 7, for 12.3 s"; empty when none is.
  // Callable while another thread is in wait() or commit().
  [[nodiscard]] std::string slowest() const;
  [[nodiscard]] AwaitedWork awaited() const;  // callable as slowest()
  [[nodiscard]] const RunReport& report() const;

  // Steps submitted from now on are recorded, until write_trace() writes them (Chrome/Perfetto JSON) and stops recording.
  void record_trace();
  void write_trace(const std::string& path);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gsnake
