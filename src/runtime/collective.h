// What the collective lane asks of whoever moves bytes between ranks.
#pragma once

#include <cstdint>

#include "device/pointer.h"
#include "schedule/graph.h"

namespace gsnake::runtime {

// A collective task with its slots resolved. The two do not overlap.
struct CollectiveCall {
  schedule::Op op = schedule::Op::all_gather;
  device::DevicePtr source;
  device::DevicePtr destination;
  std::uint64_t part_bytes = 0;  // of one rank's part; a whole is one part after another, by rank
};

// One object a rank. Every rank makes the same calls in the same order.
class Collective {
 public:
  virtual ~Collective() = default;
  [[nodiscard]] virtual int ranks() const = 0;
  // Called inside the device's compute guard, one call after another: on the collective lane's thread or the device's own. May wait for the
  // other ranks.
  //   all_gather: every rank's source, a part, comes to its place in everybody's destination.
  //   reduce_scatter: destination is this rank's part of the sum of everybody's source; fp32, added in the order of ranks.
  // Throws when a rank has failed or has left.
  virtual void run(const device::ComputeScope& scope, const CollectiveCall& call) = 0;
  // This rank leaves, because it failed or ends: no call of any rank waits for it any more. From any thread, any number of times.
  virtual void abort() noexcept = 0;
};

}  // namespace gsnake::runtime
