#include "torch/memory.h"

#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/bytes.h"
#include "greedysnake/error.h"

namespace gsnake::backend {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::uint8_t kPriority = 1;  // above LibTorch's own

thread_local TorchMemoryMeter* meter = nullptr;

void charge(std::size_t bytes) {
  if (meter == nullptr) return;
  if (meter->told != nullptr && *meter->told) (*meter->told)();
  const std::int64_t now = meter->in_use_bytes + static_cast<std::int64_t>(bytes);
  if (meter->cap_bytes > 0 && now > meter->cap_bytes) throw CapExceeded(static_cast<std::uint64_t>(now), static_cast<std::uint64_t>(meter->cap_bytes));
  meter->in_use_bytes = now;
  meter->peak_bytes = std::max(meter->peak_bytes, now);
}

void refund(std::uint64_t bytes) {
  if (meter != nullptr) meter->in_use_bytes -= static_cast<std::int64_t>(bytes);
}

// A header of one cache line before each block keeps its size.
void release(void* pointer) {
  if (pointer == nullptr) return;
  auto* header = static_cast<std::byte*>(pointer) - kAlignment;
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, header, sizeof(bytes));
  refund(bytes);
  std::free(header);
}

class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &release, c10::Device(c10::DeviceType::CPU)};
    charge(bytes);
    void* header = std::aligned_alloc(kAlignment, core::round_up(bytes, kAlignment) + kAlignment);
    if (header == nullptr) {
      refund(bytes);
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

CapExceeded::CapExceeded(std::uint64_t needed_bytes, std::uint64_t cap_bytes)
    : Error(ErrorKind::budget, "LibTorch's temporaries need " + core::format_bytes(needed_bytes) + ", more than the " + core::format_bytes(cap_bytes) +
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
