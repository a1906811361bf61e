#include "torch/memory.h"

#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <string>

#include "core/bytes.h"
#include "greedysnake/error.h"

namespace gsnake::backend {
namespace {

constexpr std::uint8_t kPriority = 1;  // above LibTorch's own

thread_local TorchMemoryMeter* meter = nullptr;

void charge(std::size_t bytes) {
  if (meter == nullptr) return;
  if (meter->told != nullptr && *meter->told) (*meter->told)();
  const std::int64_t now = meter->in_use_bytes + static_cast<std::int64_t>(bytes);
  if (meter->cap_bytes > 0 && now > meter->cap_bytes)
    throw CapExceeded(static_cast<std::uint64_t>(now), static_cast<std::uint64_t>(meter->cap_bytes));
  meter->in_use_bytes = now;
  meter->peak_bytes = std::max(meter->peak_bytes, now);
}

void refund(std::uint64_t bytes) noexcept {
  if (meter != nullptr) meter->in_use_bytes -= static_cast<std::int64_t>(bytes);
}

memory::Block* from_heap(std::size_t bytes) {
  void* memory = std::aligned_alloc(alignof(memory::Block), memory::room_for(bytes));
  if (memory == nullptr) throw Error(ErrorKind::budget, "no memory for a LibTorch tensor of " + core::format_bytes(bytes));
  return new (memory) memory::Block{.bytes = bytes};
}

memory::Block* take(std::size_t bytes) {
  if (meter == nullptr) return from_heap(bytes);
  if (meter->arena != nullptr) {
    if (memory::Block* block = meter->arena->try_take(bytes)) return block;
    meter->outside_bytes += bytes;
  }
  memory::Block* block = from_heap(bytes);
  if (meter->rehearsed == nullptr) return block;
  try {
    meter->rehearsed->take(*block);
  } catch (...) {
    std::free(block);
    throw;
  }
  return block;
}

void release(void* data) {
  if (data == nullptr) return;
  memory::Block& block = memory::Block::of(data);
  refund(block.bytes);
  if (block.arena == nullptr) {
    if (meter != nullptr && meter->rehearsed != nullptr) meter->rehearsed->give_back(block);
    std::free(&block);
  } else if (meter != nullptr && meter->arena == block.arena) {
    block.arena->give_back(block);
  } else {
    block.arena->drop(block);
  }
}

class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &release, c10::Device(c10::DeviceType::CPU)};
    charge(bytes);
    try {
      void* data = take(bytes)->data();
      return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
    } catch (...) {
      refund(bytes);
      throw;
    }
  }
  [[nodiscard]] c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* destination, const void* source, std::size_t count) const override { default_copy_data(destination, source, count); }
};

}  // namespace

RehearsedRoom::RehearsedRoom(std::uint64_t bytes) : bytes_(bytes), room_(bytes) {
  static std::atomic<std::uint64_t> made{0};
  number_ = ++made;
}

void RehearsedRoom::take(memory::Block& block) {
  const std::optional<std::uint64_t> offset = room_.try_take(memory::room_for(block.bytes));
  if (!offset) throw CapExceeded(bytes_ + 1, bytes_);
  block.offset = *offset;
  block.rehearsal = number_;
}

void RehearsedRoom::give_back(const memory::Block& block) noexcept {
  if (block.rehearsal == number_) room_.give_back(block.offset, memory::room_for(block.bytes));
}

CapExceeded::CapExceeded(std::uint64_t needed_bytes, std::uint64_t cap_bytes)
    : Error(ErrorKind::budget, "LibTorch's temporaries need " + core::format_bytes(needed_bytes) + ", more than the " +
                                   core::format_bytes(cap_bytes) +
                                   " that the dry run measured; a unit's memory must not depend on its data") {}

void install_torch_allocator() {
  static CountingAllocator allocator;
  static const bool installed = [] {
    c10::SetAllocator(c10::DeviceType::CPU, &allocator, kPriority);
    return true;
  }();
  static_cast<void>(installed);
}

MeteredScope::MeteredScope(TorchMemoryMeter& own) : outer_(meter) {
  meter = &own;
  own.in_use_bytes = 0;
}

MeteredScope::~MeteredScope() { meter = outer_; }

}  // namespace gsnake::backend
