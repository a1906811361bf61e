// The CUDA runtime's calls that make and free memory.
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "fake/state.h"

using gsnake::fake_cuda::Block;
using gsnake::fake_cuda::BlockKind;
using gsnake::fake_cuda::lock;
using gsnake::fake_cuda::noted;
using gsnake::fake_cuda::State;
using gsnake::fake_cuda::state;

namespace {

cudaError_t free_device(void* place) {
  if (place == nullptr) return cudaSuccess;
  State& all = state();
  Block* block = all.memory.at(place);
  if (block == nullptr || block->kind != BlockKind::device || block->freed) {
    all.report(block == nullptr ? "free of an address that is no allocation" : "free of what was freed", place, 0);
    return noted(cudaErrorInvalidValue);
  }
  if (all.in_flight(all.memory.real(place), block->bytes)) all.report("free of device memory that queued work uses", place, block->bytes);
  all.memory.give_back(*block, place);
  return cudaSuccess;
}

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** place, size_t bytes) {
  FAKE_CUDA_ENTER;
  *place = nullptr;
  return bytes == 0 ? cudaSuccess : noted(state().memory.allocate(place, bytes));
}
cudaError_t cudaFree(void* place) {
  FAKE_CUDA_ENTER;
  return free_device(place);
}

cudaError_t cudaHostAlloc(void** place, size_t bytes, unsigned) {
  FAKE_CUDA_ENTER;
  void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return noted(cudaErrorMemoryAllocation);
  *place = pages;
  state().memory.add(pages, bytes, BlockKind::pinned);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** place, size_t bytes) { return cudaHostAlloc(place, bytes, 0); }
cudaError_t cudaFreeHost(void* place) {
  FAKE_CUDA_ENTER;
  State& all = state();
  const Block* block = all.memory.at(place);
  if (block == nullptr || block->kind != BlockKind::pinned) return noted(cudaErrorInvalidValue);
  if (all.in_flight(place, block->bytes)) all.report("free of pinned memory that queued work uses", place, block->bytes);
  munmap(place, block->bytes);
  all.memory.remove(place);
  return cudaSuccess;
}
cudaError_t cudaHostRegister(void* place, size_t bytes, unsigned) {
  FAKE_CUDA_ENTER;
  if (state().memory.overlaps(place, bytes)) return noted(cudaErrorHostMemoryAlreadyRegistered);
  state().memory.add(place, bytes, BlockKind::registered);
  return cudaSuccess;
}
cudaError_t cudaHostUnregister(void* place) {
  FAKE_CUDA_ENTER;
  State& all = state();
  const Block* block = all.memory.at(place);
  if (block == nullptr || block->kind != BlockKind::registered) return noted(cudaErrorHostMemoryNotRegistered);
  if (all.in_flight(place, block->bytes)) all.report("memory is unregistered that queued work uses", place, block->bytes);
  all.memory.remove(place);
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* place) {
  FAKE_CUDA_ENTER;
  std::memset(attributes, 0, sizeof(*attributes));
  const Block* block = state().memory.holding(place, 1);
  attributes->type = block == nullptr ? cudaMemoryTypeUnregistered : block->kind == BlockKind::device ? cudaMemoryTypeDevice : cudaMemoryTypeHost;
  attributes->devicePointer = const_cast<void*>(place);
  attributes->hostPointer = block != nullptr && block->kind == BlockKind::device ? nullptr : const_cast<void*>(place);
  return cudaSuccess;
}

}  // extern "C"
