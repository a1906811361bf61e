// What budgets that are "auto" come to.
#pragma once

#include <cstdint>

#include "greedysnake/config.h"

namespace gsnake::plan {

struct Needs {
  double host = 0.0;  // bytes
  double device = 0.0;
};

// Of a run: with the fewest slots, and what those take beside that let lanes run ahead.
struct RunNeeds {
  Needs least;
  Needs ahead;
};

// On a GPU with memory of its own each is what is free. On the CPU, and on other GPUs, both are of one memory: where both are "auto" the device has what it needs and the host the
// rest; where one is a number, the other is what that leaves.
class Budgets {
 public:
  // one_memory: the GPU, if it is one, has none of its own.
  Budgets(const MemoryConfig& memory, std::uint64_t free_host_bytes, std::uint64_t free_device_bytes, bool one_memory = false);

  [[nodiscard]] bool of_one_memory() const { return one_memory_; }
  [[nodiscard]] bool together() const { return together_; }
  // With numbers for both. needs: of the device; looked at only where the two are together.
  [[nodiscard]] MemoryConfig of(const Needs& needs) const;
  [[nodiscard]] bool chooses_host() const { return chooses_host_; }
  // Where the host's is "auto", no more of it than is needed.
  [[nodiscard]] MemoryConfig just(const Needs& needs) const;
  // Before anything is known.
  [[nodiscard]] MemoryConfig most() const { return of({}); }
  // Nothing where it fits.
  [[nodiscard]] Needs excess(const Needs& needs) const;
  // With more of one of them.
  [[nodiscard]] Budgets more_host(std::uint64_t bytes) const;
  [[nodiscard]] Budgets more_device(std::uint64_t bytes) const;

 private:
  MemoryConfig memory_;  // of what is together, the whole is the host's
  bool one_memory_ = false;
  bool together_ = false;
  bool chooses_host_ = false;
};

}  // namespace gsnake::plan
