#include "cuda/device/pinned_memory.h"

#include <cuda_runtime_api.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>

#include "core/bytes.h"
#include "device/pages.h"

namespace gsnake::cuda {

PinnedMemory::PinnedMemory(std::string device, std::size_t chunk_bytes, int node) : device_(std::move(device)), chunk_bytes_(chunk_bytes), node_(node) {}

template <typename Body>
void PinnedMemory::for_chunks(std::byte* begin, std::size_t bytes, Body&& body) {
  for (std::size_t done = 0; done < bytes; done += chunk_bytes_) body(begin + done, std::min(chunk_bytes_, bytes - done));
}

device::HostMemory PinnedMemory::allocate(std::size_t bytes) {
  auto pages = std::make_shared<device::HostMemory>(device::map_pages<device::HostPtr>(bytes, "host", node_));
  if (!pages->data()) return {};
  std::byte* begin = pages->data().get();
  const std::lock_guard lock(mutex_);
  for_chunks(begin, bytes, [&](std::byte* chunk, std::size_t size) {
    const cudaError_t error = cudaHostRegister(chunk, size, cudaHostRegisterPortable);
    chunks_[chunk] = {size, error == cudaSuccess};
    if (error == cudaSuccess) return;
    static_cast<void>(cudaGetLastError());
    if (!std::exchange(told_, true)) {
      spdlog::warn("{}: {} of host memory could not be pinned ({}): the driver stages copies of it, which are slower; `gsnake doctor` shows the limits", device_,
                   core::format_bytes(size), cudaGetErrorString(error));
    }
  });
  return {device::HostPtr(begin), bytes, [this, pages, begin, bytes] { release(begin, bytes); }};
}

void PinnedMemory::release(std::byte* begin, std::size_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  for_chunks(begin, bytes, [&](std::byte* chunk, std::size_t) {
    const auto found = chunks_.find(chunk);
    if (found->second.registered && cudaHostUnregister(chunk) != cudaSuccess) static_cast<void>(cudaGetLastError());
    chunks_.erase(found);
  });
}

std::size_t PinnedMemory::run_at(const std::byte* place, std::size_t bytes) const {
  const std::lock_guard lock(mutex_);
  auto after = chunks_.upper_bound(place);
  if (after == chunks_.begin()) return bytes;
  const auto& [begin, chunk] = *std::prev(after);
  if (place >= begin + chunk.bytes) return bytes;
  return std::min(bytes, static_cast<std::size_t>(begin + chunk.bytes - place));
}

}  // namespace gsnake::cuda
