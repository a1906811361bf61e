// A device with one edge of a run's order taken away.
#pragma once

#include <array>
#include <memory>

#include "device/device.h"

namespace gsnake::test {

// Which rule is broken.
struct Mutation {
  // By StreamKind: compute, h2d, d2h, collective. A stream does not wait for events that another recorded.
  using Dropped = std::array<bool, device::kStreamCount>;
  const char* name = "nothing";
  std::array<Dropped, device::kStreamCount> drops_waits = {};  // by the one that should wait, then by the other
  bool reads_early = false;                                    // the host does not wait for events
  bool records_early = false;                                  // events are recorded before the copy that they follow
};

std::unique_ptr<device::Device> mutated(std::unique_ptr<device::Device> device, const Mutation& mutation);

}  // namespace gsnake::test
