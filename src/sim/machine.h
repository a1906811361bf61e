// What a graph is simulated on: how long each task takes by itself, and what tasks take from one another.
#pragma once

#include <array>
#include <vector>

#include "schedule/graph.h"
#include "sim/profile.h"

namespace gsnake::sim {

using schedule::Lane;
using schedule::kLaneCount;

// What lanes share, in cores and bytes a second; `drives` as a part of what they do alone. The buses are that of the device's copies, to it and from it.
enum class Resource : std::uint8_t { cores, dram, ssd_read, ssd_write, drives, bus_in, bus_out };
inline constexpr int kResources = 7;
inline constexpr std::array<const char*, kResources> kResourceNames{"cores", "dram", "ssd_read", "ssd_write", "drives", "bus_in", "bus_out"};

// For people.
inline constexpr std::array<const char*, kResources> kResourceTitles{"cores", "memory bandwidth", "reads", "writes", "drives", "bus to the device", "bus from the device"};

using PerResource = std::array<double, kResources>;

// Of one lane. A task takes `latency`, in which it uses nothing, and then seconds(task) at full speed, less where what it uses is short.
struct LaneModel {
  double latency = 0.0;
  int at_once = 1;        // tasks in hand
  PerResource uses{};     // by one task at full speed
  double overhead = 0.0;  // seconds of work more that each task is, of whatever size
  double emulated = 0.0;  // amount a second ([emulate]): tasks end no sooner than one after another at this rate; 0: not capped
};

struct Machine {
  std::array<LaneModel, kLaneCount> lanes;
  PerResource capacity{};  // 0: no limit
  RateCurve read_curve;    // of ssd_read, by tasks in flight; empty: capacity's
  RateCurve write_curve;
  // Bytes a second of a task by itself; 0: it takes no time. Compute: FLOP/s, of units that no time is known of. Collectives: of the bytes that a rank sends.
  std::array<double, kLaneCount> rates{};
  std::vector<UnitSeconds> units;          // by unit; may be empty
  std::vector<double> opening;             // by unit: seconds more of a visit's first task, where no time of the unit is known; may be empty
  double updates = 0.0;  // bytes a second that updates on the device read and write; 0: they take no time
  double sent = 1.0;  // of a collective's bytes, by each rank
  double adds = 0.0;  // bytes a second of sums over all ranks, beside what comes and goes; 0: adding up takes no time
  double commit_seconds = 0.0;
  int commit_waits = 0;  // for what the drives have in hand, while a commit is under way
  double crowding = 1.0;  // computing slows by this less 1, times the part of the cores that other lanes use, beyond what they take from it
  double favour = 1.0;    // how much faster other lanes' speeds grow than the compute lane's
  RestProfile rest;       // of the compute lane

  // Of a task by itself at full speed.
  [[nodiscard]] double seconds(const schedule::Task& task) const;
  [[nodiscard]] double capacity_of(Resource resource, int in_flight) const;
  [[nodiscard]] const LaneModel& lane(Lane lane) const { return lanes[static_cast<std::size_t>(lane)]; }
};

// Lanes that share nothing, with these rates: bytes a second, on the compute lane FLOP/s; 0: no time.
Machine machine_of(const std::array<double, kLaneCount>& rates);

// What of a profile a problem's lanes meet.
struct Workload {
  std::string weights = "fp32";          // the dtype in which they are stored
  std::string computes_in = "fp32";
  double tokens = 0.0;                   // of a micro-batch
  std::vector<std::string> unit_keys;    // by unit: what its time is looked up by
  std::vector<double> packed_elements;   // by unit: of matrices that are dequantised for a visit; may be empty
  std::array<double, kLaneCount> emulated{};
  int ranks = 1;                 // all alike, of which the lanes are one's,
  int local_ranks = 1;           // so many of them on this machine
  std::vector<bool> own_drives;  // as share_of() has it
  bool checked = true;           // what is read from the drives, by its checksums
};

// Where the profile does not say how fast the device updates, a CPU does as one of the optimizer's threads, a GPU at kUsualDeviceUpdates.
inline constexpr double kUsualDeviceUpdates = 1e12;  // bytes a second: a third or so of what memory of GPUs for training does

// Throws Error(usage) where the profile says nothing of how fast this dtype is computed or updated, or several ranks' link is.
Machine machine_of(const MachineProfile& profile, const Workload& workload);

}  // namespace gsnake::sim
