// How fast tasks get on that need the same things at the same time.
#pragma once

#include <array>
#include <map>

#include "sim/machine.h"

namespace gsnake::sim {

using LaneCounts = std::array<int, kLaneCount>;    // tasks that are under way
using LaneSpeeds = std::array<double, kLaneCount>;  // of each of a lane's tasks: 1 is as if it were alone

// All speeds grow alike (but for Machine::favour, and for reads and writes by what each moves) until a resource is used up; whoever uses that one stays there, and the others grow on (max-min
// fair).
LaneSpeeds speeds_of(const Machine& machine, const LaneCounts& under_way);

// The same of one machine, each found once: in a simulation few are ever seen, and most of them again soon.
class KnownSpeeds {
 public:
  explicit KnownSpeeds(const Machine& machine) : machine_(machine) {}  // borrowed
  const LaneSpeeds& of(const LaneCounts& under_way);

 private:
  static constexpr std::size_t kPlaces = 256;
  struct Entry {
    LaneCounts under_way{};
    LaneSpeeds speeds{};
  };
  const Machine& machine_;
  std::array<Entry, kPlaces> last_{};  // by hash; at first, of nothing under way
  std::map<LaneCounts, LaneSpeeds> all_;
};

}  // namespace gsnake::sim
