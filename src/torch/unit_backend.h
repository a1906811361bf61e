// What a session asks of whatever computes its units.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "device/device.h"
#include "runtime/compute.h"

namespace gsnake::backend {

// Units computed on zeros, to see what they take; other sizes than the run's are as good for that.
struct DryRun {
  bool training = true;
  std::int64_t rows = 1;
  std::int64_t tokens = 1;  // a row
  std::int64_t head_chunk = 256;
  std::uint64_t most_bytes = 0;
  std::function<void()> told;  // whenever LibTorch asks for memory; what it throws ends the dry run and is thrown on; may be empty
  int kept = 0;                // rehearse_kept(): forward passes whose activations are kept
};

class UnitBackend : public runtime::ComputeBackend {
 public:
  // The bytes that the unit's temporaries need, with what they leave between them, where it is computed, forward and (training) backward, on memory of
  // the dry run's own on `device`. Nothing where they would need more than dry.most_bytes: the dry run ends at the first byte too many.
  [[nodiscard]] virtual std::optional<std::uint64_t> rehearse(device::Device& device, const DryRun& dry, int unit) = 0;
  // The bytes that a forward pass of the unit leaves where its activations are kept, told by dry.kept of them. Nothing where
  // these would need more than dry.most_bytes.
  [[nodiscard]] virtual std::optional<std::uint64_t> rehearse_kept(device::Device& device, const DryRun& dry, int unit) = 0;
  // Once temporaries are capped, where LibTorch would else ask the device for memory in the first step: computes every kind of unit while so many passes of each
  // unit are kept.
  virtual void warm_up(device::Device& device, std::span<const int> kept_by_unit) = 0;
  // From now on run() throws Error(budget) rather than let temporaries take more. The bytes are set aside for them.
  virtual void cap_temporaries(std::uint64_t bytes) = 0;
  [[nodiscard]] virtual std::uint64_t dequantised() const { return 0; }
  // Of what is set aside, what the process holds in memory already.
  [[nodiscard]] virtual std::uint64_t resident_bytes() const = 0;
};

}  // namespace gsnake::backend
