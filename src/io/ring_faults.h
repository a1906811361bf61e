// What tests put between the io_uring engine and the kernel: shortened transfers, other results, completions late and out of order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "io/engine.h"

namespace gsnake::io {

// What is left of a transfer that the kernel is asked for.
struct RingTransfer {
  Direction op = Direction::read;
  std::uint64_t offset = 0;  // bytes from the start of the file
  std::size_t bytes = 0;
};

// Called on the ring's thread only. By default nothing happens.
class RingFaults {
 public:
  // Before a ring of so many entries is set up: an errno that refuses it, or 0.
  virtual int set_up(unsigned /*entries*/) noexcept { return 0; }
  // How many bytes to ask for now, 1 to transfer.bytes; of a direct file a multiple of its alignment.
  virtual std::size_t limit(const RingTransfer& transfer) noexcept { return transfer.bytes; }
  // What the engine is told: bytes, or a negative errno.
  virtual int result(const RingTransfer& /*transfer*/, int result) noexcept { return result; }
  // Which of `held` completions the engine is told of next; `held` or more: of none before another one arrives. Not heeded when none can.
  virtual std::size_t next(std::size_t /*held*/) noexcept { return 0; }

 protected:
  ~RingFaults() = default;
};

// `faults` is borrowed and outlives the engine; nullptr: none.
std::unique_ptr<IoEngine> make_uring_engine(const EngineOptions& options, RingFaults* faults);

}  // namespace gsnake::io
