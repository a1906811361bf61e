// What computing on all cores loses to short work of other lanes.
#pragma once

#include <functional>

namespace gsnake::measure {

// Computing threads wait for one another: a core that is taken from one of them for a moment is lost to all. Returns how many cores' worth of
// computing a core's worth of short tasks (parts of a millisecond, as lanes have them) costs: 1 where they only take their own. `compute` is
// what uses so many cores, some milliseconds of it; takes about so many seconds.
double measure_crowding(const std::function<void()>& compute, double cores, double seconds);

// Seconds that one thread takes to wake another that sleeps, as lanes do.
double measure_hand_over();

}  // namespace gsnake::measure
