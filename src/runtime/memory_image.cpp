#include "runtime/memory_image.h"

#include <stdexcept>
#include <string>

#include "core/bytes.h"
#include "memory/arena.h"

namespace gsnake::runtime {
namespace {

constexpr std::uint64_t kAlignment = 4096;
constexpr std::uint64_t kSmallAlignment = 64;  // of what no drive and no device reads: norm partials, losses

std::uint64_t alignment_of(const schedule::Buffer& buffer) { return buffer.bytes < kAlignment ? kSmallAlignment : kAlignment; }

std::uint64_t total(const schedule::Map& map, schedule::Space space) {
  std::uint64_t sum = 0;
  for (const schedule::Buffer& buffer : map.buffers) sum += buffer.space == space ? MemoryImage::bytes_of(buffer) : 0;
  return sum;
}

}  // namespace

std::uint64_t MemoryImage::bytes_of(const schedule::Buffer& buffer) { return core::round_up(buffer.bytes, alignment_of(buffer)); }
std::uint64_t MemoryImage::host_bytes(const schedule::Map& map) { return total(map, schedule::Space::host); }
std::uint64_t MemoryImage::device_bytes(const schedule::Map& map) { return total(map, schedule::Space::device); }

// Just what the plan charged, to the byte: carve() aborts where that was added up wrong. Small buffers come last, where their smaller alignment
// leaves no gaps.
MemoryImage::MemoryImage(const schedule::Map& map, device::Device& device)
    : host_(device.host_alloc(host_bytes(map))), device_(device.device_alloc(device_bytes(map))) {
  memory::Arena host(host_.bytes());
  memory::Arena on_device(device_.bytes());
  places_.resize(map.buffers.size());
  for (const std::uint64_t alignment : {kAlignment, kSmallAlignment}) {
    for (std::size_t i = 0; i < map.buffers.size(); ++i) {
      const schedule::Buffer& buffer = map.buffers[i];
      memory::Arena& arena = buffer.space == schedule::Space::host ? host : on_device;
      if (alignment_of(buffer) == alignment) places_[i] = {buffer.space, arena.carve(bytes_of(buffer), alignment)};
    }
  }
}

void MemoryImage::throw_wrong_space(int buffer) {
  throw std::logic_error("memory image: buffer " + std::to_string(buffer) + " is asked for on the space that it is not on");
}

}  // namespace gsnake::runtime
