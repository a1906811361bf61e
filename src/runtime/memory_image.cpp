#include "runtime/memory_image.h"

#include <stdexcept>
#include <string>

#include "memory/arena.h"
#include "schedule/footprint.h"

namespace gsnake::runtime {

// Just what the plan charged, to the byte: carve() aborts where that was added up wrong. Small buffers come last, where their smaller alignment
// leaves no gaps.
MemoryImage::MemoryImage(const schedule::Map& map, device::Device& device)
    : host_(device.host_alloc(schedule::allocated_bytes(map, schedule::Space::host))),
      device_(device.device_alloc(schedule::allocated_bytes(map, schedule::Space::device))) {
  memory::Arena host(host_.bytes());
  memory::Arena on_device(device_.bytes());
  places_.resize(map.buffers.size());
  for (const std::uint64_t alignment : {schedule::kPageAlignment, schedule::kSmallAlignment}) {
    for (std::size_t i = 0; i < map.buffers.size(); ++i) {
      const schedule::Buffer& buffer = map.buffers[i];
      memory::Arena& arena = buffer.space == schedule::Space::host ? host : on_device;
      if (schedule::alignment_of(buffer) == alignment) places_[i] = {buffer.space, arena.carve(schedule::allocated_bytes(buffer), alignment)};
    }
  }
}

void MemoryImage::throw_wrong_space(int buffer) {
  throw std::logic_error("memory image: buffer " + std::to_string(buffer) + " is asked for on the space that it is not on");
}

}  // namespace gsnake::runtime
