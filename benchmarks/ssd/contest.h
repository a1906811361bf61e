// Contestants that are measured in turns, so that a drive that changes its mind changes it for all.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ssd/workload.h"

namespace gsnake::bench {

struct Contestant {
  std::string name;    // "io_uring, no registered files"
  std::string engine;  // "io_uring", "threads", "cufile" or "fio"
  Setting setting;
};

struct Spread {
  double median = 0.0;
  double low = 0.0;
  double high = 0.0;
};

struct Result {
  Contestant contestant;
  std::vector<Sample> samples;  // in the order of measurement; empty: refused
  std::string refusal;

  [[nodiscard]] Spread rate() const;  // bytes a second
  [[nodiscard]] double cpu() const;   // seconds a GiB, median
};

// Told each measurement of a sweep; a rate of 0 for one that failed.
using Watcher = std::function<void(const Contestant& contestant, double bytes_per_second)>;

class Arena {
 public:
  // Memory for the largest block times depth of any contestant to come, at most.
  Arena(const TestFiles& files, std::uint64_t memory_bytes);

  Sample measure(Mode mode, const Contestant& contestant);
  // One round to warm up, then `repeats` rounds; every other round goes backwards. A contestant that fails is left out with the reason.
  std::vector<Result> alternate(Mode mode, const std::vector<Contestant>& contestants, unsigned repeats);
  // The fastest of these: one measurement of each, then the fastest few in turns. Those that fail are left out.
  std::optional<Contestant> best(Mode mode, const std::vector<Contestant>& contestants, const Watcher& watcher);

  [[nodiscard]] const TestFiles& files() const noexcept { return files_; }

 private:
  const TestFiles& files_;
  io::AlignedBuffer memory_;
};

}  // namespace gsnake::bench
