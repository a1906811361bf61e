#include "runtime/memory_image.h"

#include "core/bytes.h"
#include "memory/arena.h"

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

// Just what the plan charged, to the byte: carve() aborts where that was added up wrong.
MemoryImage::MemoryImage(const schedule::Map& map, device::Device& device)
    : host_(device.host_alloc(host_bytes(map))), device_(device.device_alloc(device_bytes(map))) {
  memory::Arena host(host_.data(), host_bytes(map));
  memory::Arena on_device(device_.data(), device_bytes(map));
  for (const schedule::Buffer& buffer : map.buffers) {
    memory::Arena& arena = buffer.space == schedule::Space::host ? host : on_device;
    addresses_.push_back(arena.carve(core::round_up(buffer.bytes, kAlignment), kAlignment));
  }
}

}  // namespace gsnake::runtime
