// Where a run's batches come from, when they come from the program that runs it.
#pragma once

#include <cstdint>
#include <string>

#include "greedysnake/batch.h"

namespace gsnake {

// Where a run's data stands: what the source of its batches needs to go on from there. A commit keeps that of its step.
struct DataPosition {
  std::uint64_t cursor = 0;  // windows taken, of a run's files
  std::string state;         // whatever a source of the caller's own makes of it
};

// Batches of the caller's own, in place of a run's files. Called by one thread, which need not be the one that made it.
class BatchSource {
 public:
  BatchSource() = default;
  BatchSource(const BatchSource&) = delete;
  BatchSource& operator=(const BatchSource&) = delete;
  virtual ~BatchSource() = default;

  // The next step's batch: all of train.micro_batches. Sources do not end: they start over. What it throws ends the run.
  virtual void next(Batch& batch) = 0;
  // Text by which restore() comes back to where the next next() goes on; of several ranks, the same at each.
  [[nodiscard]] virtual std::string state() const = 0;
  // Called once before the first next(): with what state() gave in the commit that the run goes on from, or with "" in a new run.
  virtual void restore(const std::string& state) = 0;
  // For the log: what it is.
  [[nodiscard]] virtual std::string description() const { return "batches of the program's own"; }
};

}  // namespace gsnake
