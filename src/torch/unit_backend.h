// What a session asks of whatever computes its units.
#pragma once

#include "device/device.h"
#include "runtime/compute.h"

namespace gsnake::backend {

class UnitBackend : public runtime::ComputeBackend {
 public:
  // Of the buffers for widened weights, mapped at construction: 0 where the dtypes are one. Part of the device budget.
  [[nodiscard]] virtual std::uint64_t widened_bytes() const = 0;
  // Runs every kind of unit once on `device`, forward and (training) backward, on memory of its own, and measures the most bytes that
  // temporaries take. Returns `margin` times that and `slack_bytes`, which is the cap from then on: beyond it run() throws Error(budget).
  virtual std::uint64_t rehearse(device::Device& device, bool training, double margin, std::uint64_t slack_bytes) = 0;
};

}  // namespace gsnake::backend
