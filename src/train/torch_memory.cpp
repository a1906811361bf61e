#include "train/torch_memory.h"

#include <c10/core/CPUAllocator.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/bytes.h"
#include "greedysnake/error.h"

namespace gsnake::train {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::uint8_t kPriority = 1;  // above LibTorch's own

std::atomic<std::uint64_t> in_use{0};
std::atomic<std::uint64_t> peak{0};
std::atomic<std::uint64_t> cap{0};

void charge(std::uint64_t bytes) {
  const std::uint64_t now = in_use.fetch_add(bytes) + bytes;
  const std::uint64_t limit = cap.load(std::memory_order_relaxed);
  if (limit != 0 && now > limit) {
    in_use.fetch_sub(bytes);
    throw Error(ErrorKind::budget, "LibTorch's temporaries need " + core::format_bytes(now) + ", more than the " + core::format_bytes(limit) +
                                       " that the dry run measured and memory.device_budget leaves; raise memory.device_budget");
  }
  std::uint64_t seen = peak.load(std::memory_order_relaxed);
  while (seen < now && !peak.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
  }
}

// A header of one cache line before each block keeps its size.
void release(void* pointer) {
  if (pointer == nullptr) return;
  auto* header = static_cast<std::byte*>(pointer) - kAlignment;
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, header, sizeof(bytes));
  in_use.fetch_sub(bytes);
  std::free(header);
}

class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &release, c10::Device(c10::DeviceType::CPU)};
    charge(bytes);
    void* header = std::aligned_alloc(kAlignment, core::round_up(bytes, kAlignment) + kAlignment);
    if (header == nullptr) {
      in_use.fetch_sub(bytes);
      throw Error(ErrorKind::budget, "no memory for a LibTorch tensor of " + core::format_bytes(bytes));
    }
    const std::uint64_t size = bytes;
    std::memcpy(header, &size, sizeof(size));
    void* data = static_cast<std::byte*>(header) + kAlignment;
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }
  [[nodiscard]] c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* destination, const void* source, std::size_t count) const override { default_copy_data(destination, source, count); }
};

}  // namespace

void install_torch_allocator() {
  static CountingAllocator allocator;
  static const bool installed = [] {
    c10::SetAllocator(c10::DeviceType::CPU, &allocator, kPriority);
    return true;
  }();
  static_cast<void>(installed);
}

void cap_torch_memory(std::uint64_t bytes) { cap.store(bytes); }
std::uint64_t torch_memory_in_use() { return in_use.load(); }
std::uint64_t torch_memory_peak() { return peak.load(); }
void reset_torch_memory_peak() { peak.store(in_use.load()); }

}  // namespace gsnake::train
