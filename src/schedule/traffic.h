// How many bytes a step moves on each lane, in closed form: no graph is looked at. The formulas' table is in docs/schedule.md.
#pragma once

#include <cstdint>

#include "schedule/graph.h"

namespace gsnake::schedule {

struct Bytes {
  std::uint64_t ssd_read = 0;
  std::uint64_t ssd_write = 0;
  std::uint64_t h2d = 0;
  std::uint64_t d2h = 0;
  std::uint64_t optimizer = 0;  // read and written in host memory by the optimizer lane
  std::uint64_t collective = 0;  // of several ranks: of wholes, all ranks' parts
  std::uint64_t compute = 0;     // read and written in device memory by updates there

  Bytes& operator+=(const Bytes& other);
  bool operator==(const Bytes&) const = default;
  [[nodiscard]] std::uint64_t on(Lane lane) const;  // 0 for lanes that move nothing here
};

// Padding included: objects are padded to kGrain elements, hidden states to 4096 bytes.
struct StepTraffic {
  Bytes weights;          // fetched for each visit, written back once updated
  Bytes optimizer_state;  // read and written once
  Bytes gradients;        // finished sums that leave the device; those that wait for the delayed part, spilled and read again; what updates on the device tell
  Bytes partial_sums;     // sums between micro-batches (horizontal), and what an object's other users gather beside the first
  Bytes activations;      // checkpoints and hidden gradients
  Bytes batch;            // token ids and labels to the device, losses back
  Bytes commits;          // of a step that is committed: homes written to SSD; what is on SSD costs nothing more

  [[nodiscard]] Bytes total() const;
};

// A steady training step: Variant::train, or train_first where nothing is delayed. Throws Error(usage) for a problem that validate()
// refuses or in which nothing is trained.
StepTraffic training_traffic(const Problem& problem);
// A forward pass without pending updates: Variant::validate.
StepTraffic validation_traffic(const Problem& problem);

}  // namespace gsnake::schedule
