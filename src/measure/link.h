// The link between ranks, under the collectives of a run.
#pragma once

#include <cstdint>

#include "device/device.h"
#include "runtime/collective.h"
#include "sim/profile.h"

namespace gsnake::measure {

// Seconds of calls, each the mean of several one after another but for the first, and what was busy meanwhile.
struct LinkTimes {
  double smallest = 0.0;  // of one that moves next to nothing: the least of several
  double gather = 0.0;
  double scatter = 0.0;
  std::uint64_t part_bytes = 0;  // of the latter two
  double cores = 0.0;            // of this process
};

// What of a profile they say. `on_cpu`: what moves between ranks goes through host memory, there and here.
sim::LinkProfile link_of(const LinkTimes& times, int ranks, bool on_cpu);

// By a few all-gathers and reduce-scatters of parts of at most `part_bytes`, the largest that the run moves: in half a second, on a slow link of smaller ones. Every
// rank calls it at once and with the same `part_bytes`, and makes no other calls meanwhile; all get the same answer. Takes memory of the device for one such part of
// each rank and one more, 64 MiB at most, and gives it back. Throws what the collective does; Error(budget) where the device has no room.
sim::LinkProfile measure_link(runtime::Collective& collective, device::Device& device, std::uint64_t part_bytes);

}  // namespace gsnake::measure
