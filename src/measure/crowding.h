// How computing on all cores and short work of other lanes share them.
#pragma once

#include <functional>

namespace gsnake::measure {

// Computing threads wait for one another: a core that is taken from one of them for a moment is lost to all. Returns how many cores' worth of
// computing a core's worth of short tasks (parts of a millisecond, as lanes have them) costs: 1 where they only take their own. `compute` is
// what uses so many cores, some milliseconds of it; takes about so many seconds.
double measure_crowding(const std::function<void()>& compute, double cores, double seconds);

// How much more of a core than a computing thread a thread gets, once it is awake, that sleeps in between, as those of other lanes do: one such on each core, in the same
// moments. 1 to 10; `compute` as above.
double measure_favour(const std::function<void()>& compute, double cores, double seconds);

// The same from what such threads took: one that shares its core with another takes 1 + 1 / favour times as long by the clock as of the processor.
double favour_of(double clock_seconds, double processor_seconds);

// Seconds that one thread takes to wake another that sleeps, as lanes do.
double measure_hand_over();

}  // namespace gsnake::measure
