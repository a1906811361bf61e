// What a machine can do, as a TOML file has it (docs/planner.md): measured by `gsnake plan`, or put together from published figures for hardware
// that one does not have.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gsnake::sim {

// Bytes a second with so many blocks in flight.
struct RatePoint {
  double in_flight = 1.0;
  double per_second = 0.0;
};
using RateCurve = std::vector<RatePoint>;  // ascending; empty: no limit

// Between points: on their chord. Beyond the last, and before the first: as there.
double rate_at(const RateCurve& curve, double in_flight);

struct SsdProfile {
  std::string path;        // the folder that was measured; of a profile from figures: empty
  std::string drive;       // its name
  RateCurve read;          // alone
  RateCurve write;         // alone
  // Reads and writes at once get through shares r and w of what they do alone, with r + w at most this: 1 where they take from one another,
  // 2 where neither feels the other.
  double both = 1.0;
  double rated_terabytes = 0.0;  // that may be written in its life (TBW); 0: not known
};

// Of a lane's work beside the rate: what it takes of what all lanes share, at full rate.
struct Share {
  double cores = 0.0;  // of CpuProfile::cores, by one task
  double dram = 0.0;   // bytes that cross host memory's bus for each byte that the lane counts; compute: bytes a second
};

struct CopyProfile {
  double per_second = 0.0;  // bytes; 0: no limit
  double latency = 0.0;     // seconds a copy
  Share share;
};

// Bytes that an update reads and writes, a second, on one thread.
struct OptimizerRate {
  std::string dtype;  // of the weights: fp32, bf16, fp16
  double per_second = 0.0;
};

struct OptimizerProfile {
  int threads = 1;
  double latency = 0.0;
  std::vector<OptimizerRate> rates;
  Share share;
};

struct ComputeRate {
  std::string dtype;         // that is computed in
  double per_second = 0.0;   // FLOP, of a block with many tokens
  double half_tokens = 0.0;  // of a micro-batch, with which half of that is reached
};

// FLOP a second of micro-batches with so many tokens.
struct TokenRate {
  double tokens = 0.0;
  double per_second = 0.0;
};
// The curve through both, of which the second has more tokens. Where more tokens bring no more, or more than in proportion, which is noise: none, and as near to it as it goes.
[[nodiscard]] ComputeRate rate_through(const std::string& dtype, const TokenRate& fewer, const TokenRate& more);

// Of one micro-batch of one kind of unit; 0: not measured.
struct UnitSeconds {
  double forward = 0.0;
  double backward = 0.0;  // recomputation included; of a head: forward and backward
  double opening = 0.0;   // more for the first micro-batch of each visit: widening its weights

  [[nodiscard]] double both() const { return forward + backward; }
};

// Measured, of a unit of this key (plan::unit_key()).
struct UnitTime {
  std::string key;
  UnitSeconds seconds;
};

// Processors that rest for a while are slow for a while: clocks fall, and rise again as work goes on.
struct RestProfile {
  double after = 0.0;   // seconds without a unit to compute; 0: it makes no difference
  double factor = 1.0;  // by which the next ones take longer
  double work = 0.0;    // seconds of work, as they count when there is no rest, that this lasts
};

struct ComputeProfile {
  std::string device;  // "cpu", or what the GPU is called
  std::uint64_t memory = 0;
  bool unified = false;  // a GPU's, which is the host's own (CpuProfile::memory)
  RestProfile rest;
  double latency = 0.0;  // seconds a task
  double updates = 0.0;     // bytes that an update there reads and writes, a second; 0: as machine_of() has it
  double dequantise = 0.0;  // elements a second, of packed weights in units that no time is known of; 0: it takes none
  std::vector<ComputeRate> rates;
  std::vector<UnitTime> units;
  Share share;  // dram in bytes a second
};

struct CpuProfile {
  std::string name;
  double cores = 0.0;         // 0: no limit
  double dram = 0.0;          // bytes a second, read and written, of all lanes together; 0: no limit
  std::uint64_t memory = 0;
  // Of the CPU device, whose computing threads wait for one another: how many cores' worth of computing a core's worth of other lanes' work
  // costs it, where that is little. 1: they only take their own.
  double crowding = 1.0;
  double hand_over = 0.0;  // seconds of a core that one thread takes to wake another, as each task of a lane does, and a read that is checked twice
  double favour = 1.0;  // likewise: how much more of a core a thread of another lane gets than a computing one
};

// Between ranks: each sends to the others and receives from them at once, and what it sends is as much as what it receives.
struct LinkProfile {
  double per_second = 0.0;  // bytes that a rank sends, while it receives as many, with all ranks at it; 0: not known
  double latency = 0.0;     // seconds a call
  double adds = 0.0;        // bytes of everybody's parts of a sum that a rank adds up, a second; 0: that takes no time
  double bus = 0.0;         // bytes that cross the bus of the device's copies, each way, for each byte sent
  Share share;              // dram for each byte sent
};

inline constexpr int kMostCommitWaits = 1000;

struct MachineProfile {
  std::string name;
  std::string source;    // where the figures are from
  std::string key;       // of the hardware and paths that it was measured on; empty: it was not
  CpuProfile cpu;
  ComputeProfile compute;
  CopyProfile h2d;
  CopyProfile d2h;
  OptimizerProfile optimizer;
  LinkProfile link;
  std::vector<SsdProfile> ssds;
  Share ssd_share;             // of reads, and of writes, at the drives' full rate
  double ssd_latency = 0.0;    // seconds a transfer, beside what the curves say
  double commit_latency = 0.0;  // seconds, while the drives have nothing else to do: syncs and a manifest
  int commit_waits = 0;         // how often a commit, op by op, waits until a drive is through with what it has in hand

  // Of a micro-batch of so many tokens; 0 where no rate of this dtype is known.
  [[nodiscard]] double flops_per_second(std::string_view dtype, double tokens) const;
  [[nodiscard]] const UnitSeconds* find_unit(std::string_view key) const;
  // Of all drives, striped in proportion to what each reads.
  [[nodiscard]] SsdProfile drives() const;
};

// What one of several ranks has of a machine on which all do the same at the same time: its part of cores, host memory and what crosses its bus, optimizer
// threads, and drives, but for those of its own: `own_drives` by drive, beyond its end as the last one says; empty: all are shared. What computes, with its copies
// and its link, is one for each rank.
MachineProfile share_of(const MachineProfile& machine, int local_ranks, const std::vector<bool>& own_drives);

// Throws Error(input): a file that can't be read, with the reason; Error(usage): TOML that is none, an unknown key with the nearest valid one, a
// value out of range with what is allowed.
MachineProfile load_profile(const std::string& path);
MachineProfile parse_profile(const std::string& toml, const std::string& name);
std::string to_toml(const MachineProfile& profile);
// By temporary file and rename. Throws Error(storage).
void save_profile(const MachineProfile& profile, const std::string& path);

}  // namespace gsnake::sim
