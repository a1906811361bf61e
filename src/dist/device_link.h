// What moves bytes between ranks in a device's own memory: the CUDA plug-in implements it, on c10d's NCCL.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <cstddef>
#include <cstdint>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace gsnake::dist {

struct DeviceLinkParts {
  c10::intrusive_ptr<c10d::Store> store;  // this link's alone
  int rank = 0;
  int count = 1;
};

// Every rank makes one at the same time, and the same calls in the same order.
class DeviceLink {
 public:
  virtual ~DeviceLink() = default;
  // As runtime::Collective has them. They are put on LibTorch's current stream, and return before they have run.
  virtual void all_gather(std::byte* source, std::byte* destination, std::uint64_t part_bytes) = 0;
  virtual void reduce_scatter(std::byte* source, std::byte* destination, std::uint64_t part_bytes) = 0;
  // Memory for parts that are added up `piece_bytes` at a time, and all connections, so that no later call asks for either. Waits for the other ranks. What there is
  // already is kept. Throws Error(budget).
  virtual void reserve(std::uint64_t piece_bytes) = 0;
  // Nothing that was put on the stream is still to run.
  [[nodiscard]] virtual bool idle() const = 0;
  // What is on the stream ends, whatever is in memory then. From any thread.
  virtual void abort() noexcept = 0;
};

}  // namespace gsnake::dist
