#include "runtime/memory_image.h"

#include "core/bytes.h"

namespace gsnake::runtime {
namespace {

constexpr std::uint64_t kAlignment = 4096;

std::uint64_t total(const schedule::Map& map, schedule::Space space) {
  std::uint64_t sum = 0;
  for (const schedule::Buffer& buffer : map.buffers) sum += buffer.space == space ? core::round_up(buffer.bytes, kAlignment) : 0;
  return sum;
}

}  // namespace

std::uint64_t MemoryImage::host_bytes(const schedule::Map& map) { return total(map, schedule::Space::host); }
std::uint64_t MemoryImage::device_bytes(const schedule::Map& map) { return total(map, schedule::Space::device); }

MemoryImage::MemoryImage(const schedule::Map& map, device::Device& device)
    : host_(device.host_alloc(host_bytes(map) + kAlignment)), device_(device.device_alloc(device_bytes(map) + kAlignment)) {
  std::byte* next[2] = {host_.data(), device_.data()};
  for (const schedule::Buffer& buffer : map.buffers) {
    std::byte*& cursor = next[buffer.space == schedule::Space::host ? 0 : 1];
    addresses_.push_back(cursor);
    cursor += core::round_up(buffer.bytes, kAlignment);
  }
}

}  // namespace gsnake::runtime
