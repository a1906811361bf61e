#include "torch/memory.h"

#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <new>
#include <string>
#include <unordered_set>
#include <utility>

#include "core/bytes.h"
#include "greedysnake/error.h"

namespace gsnake::backend {
namespace {

thread_local TorchMemoryMeter* meter = nullptr;

// Whatever the listener allocates is none of what is measured.
void tell(const std::function<void()>& told) {
  struct Aside {
    TorchMemoryMeter* own = std::exchange(meter, nullptr);
    ~Aside() { meter = own; }
  } const aside;
  told();
}

// Within a scope.
void charge(std::size_t bytes) {
  if (meter->told != nullptr && *meter->told) tell(*meter->told);
  const std::int64_t now = meter->in_use_bytes + static_cast<std::int64_t>(bytes);
  if (meter->cap_bytes > 0 && now > meter->cap_bytes)
    throw CapExceeded(static_cast<std::uint64_t>(now), static_cast<std::uint64_t>(meter->cap_bytes));
  meter->in_use_bytes = now;
  meter->peak_bytes = std::max(meter->peak_bytes, now);
}

void refund(std::uint64_t bytes) noexcept {
  if (meter != nullptr) meter->in_use_bytes -= static_cast<std::int64_t>(bytes);
}

// Blocks that are in no arena: those of dry runs, and what an arena had no room for.
class HeapBlocks {
 public:
  memory::Block* take(std::size_t bytes) {
    void* memory = std::aligned_alloc(alignof(memory::Block), memory::room_for(bytes));
    if (memory == nullptr) throw Error(ErrorKind::budget, "no memory for a LibTorch tensor of " + core::format_bytes(bytes));
    auto* block = new (memory) memory::Block{.bytes = bytes};
    const std::lock_guard lock(mutex_);
    try {
      places_.insert(block->data());
    } catch (...) {
      std::free(memory);
      throw;
    }
    return block;
  }
  void give_back(memory::Block& block) noexcept {
    {
      const std::lock_guard lock(mutex_);
      places_.erase(block.data());
    }
    std::free(&block);
  }
  [[nodiscard]] bool holds(void* place) noexcept {
    const std::lock_guard lock(mutex_);
    return places_.count(place) != 0;
  }
  [[nodiscard]] bool any() noexcept {
    const std::lock_guard lock(mutex_);
    return !places_.empty();
  }

 private:
  std::mutex mutex_;
  std::unordered_set<void*> places_;
};

HeapBlocks& heap() {
  static auto* blocks = new HeapBlocks;  // tensors of static storage may be freed after everything else
  return *blocks;
}

// Who allocates for LibTorch. The one before is known for good: a tensor that was made in a scope asks us for more memory when it grows.
struct Installed {
  std::mutex mutex;
  int users = 0;
  std::uint8_t priority = 0;
  std::atomic<c10::Allocator*> before{nullptr};
  std::atomic<bool> idle{false};  // installed, without users: goes with the last block
};

Installed& installed() {
  static auto* state = new Installed;
  return *state;
}

void restore_if_unused() noexcept;

memory::Block* take(std::size_t bytes) {
  if (meter->arena != nullptr) {
    if (memory::Block* block = meter->arena->try_take(bytes)) return block;
    meter->outside_bytes += bytes;
  }
  memory::Block* block = heap().take(bytes);
  if (meter->rehearsed == nullptr) return block;
  try {
    meter->rehearsed->take(*block);
  } catch (...) {
    heap().give_back(*block);
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
    heap().give_back(block);
  } else if (meter != nullptr && meter->arena == block.arena) {
    block.arena->give_back(block);
  } else {
    block.arena->drop(block);
  }
  if (installed().idle.load(std::memory_order_relaxed)) restore_if_unused();
}

// Of memory that was asked for without its deleter: oneDNN's.
void release_any(void* data) {
  if (data == nullptr || heap().holds(data) || memory::BlockArena::holds(data)) return release(data);
  installed().before.load()->raw_deleter()(data);
}

class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    if (meter == nullptr) return installed().before.load()->allocate(bytes);
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
  [[nodiscard]] c10::DeleterFnPtr raw_deleter() const override { return &release_any; }
  void copy_data(void* destination, const void* source, std::size_t count) const override { default_copy_data(destination, source, count); }
};

CountingAllocator& allocator() {
  static auto* ours = new CountingAllocator;  // tensors point to it as long as they live
  return *ours;
}

// Blocks that are alive need an allocator that knows them.
void restore_if_unused() noexcept {
  Installed& state = installed();
  const std::lock_guard lock(state.mutex);
  if (!state.idle || heap().any() || memory::BlockArena::any()) return;
  state.idle = false;
  if (c10::GetAllocator(c10::DeviceType::CPU) == &allocator()) c10::SetAllocator(c10::DeviceType::CPU, state.before.load(), state.priority);
}

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

TorchAllocator::TorchAllocator() {
  Installed& state = installed();
  const std::lock_guard lock(state.mutex);
  state.idle = false;
  if (state.users > 0 || c10::GetAllocator(c10::DeviceType::CPU) == &allocator()) {
    ++state.users;
    return;
  }
  c10::Allocator* before = c10::GetAllocator(c10::DeviceType::CPU);
  state.before = before;
  // The least that is enough: the program's own may be set at a priority, and that stays.
  for (int priority = 0; priority <= std::numeric_limits<std::uint8_t>::max(); ++priority) {
    state.priority = static_cast<std::uint8_t>(priority);
    c10::SetAllocator(c10::DeviceType::CPU, &allocator(), state.priority);
    if (c10::GetAllocator(c10::DeviceType::CPU) != before) break;
  }
  if (c10::GetAllocator(c10::DeviceType::CPU) == before) throw Error(ErrorKind::usage, "LibTorch keeps the CPU allocator that the program has set; set it at a lower priority");
  ++state.users;
}

TorchAllocator::~TorchAllocator() {
  {
    const std::lock_guard lock(installed().mutex);
    if (--installed().users > 0) return;
    installed().idle = true;
  }
  restore_if_unused();
}

MeteredScope::MeteredScope(TorchMemoryMeter& own) : outer_(meter) {
  meter = &own;
  own.in_use_bytes = own.kept_bytes;
}

MeteredScope::~MeteredScope() { meter = outer_; }

}  // namespace gsnake::backend
