#include "fake/state.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace gsnake::fake_cuda {
namespace {

thread_local cudaError_t last_error = cudaSuccess;

long number(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtol(text, nullptr, 10);
}

}  // namespace

HiddenLock& lock() {
  static auto* only = new HiddenLock;
  return *only;
}

State& state() {
  static auto* only = new State;
  return *only;
}

// FAKE_CUDA_MEMORY_MB, FAKE_CUDA_DEVICES, FAKE_CUDA_DRIVER.
State::State()
    : memory(static_cast<std::size_t>(number("FAKE_CUDA_MEMORY_MB", 4096)) << 20U), devices(static_cast<int>(number("FAKE_CUDA_DEVICES", 1))),
      driver(static_cast<int>(number("FAKE_CUDA_DRIVER", CUDART_VERSION))) {
  streams.reserve(1U << 16U);
  failures.reserve(1024);
  counts.reserve(128);
}

bool same_name(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) {
    ++a;
    ++b;
  }
  return *a == *b;
}

long& State::calls(const char* api) {
  for (CallCount& count : counts) {
    if (same_name(count.api, api)) return count.calls;
  }
  counts.push_back({api, 0});
  return counts.back().calls;
}

Stream* State::make_stream(bool blocking, bool legacy_stream) {
  streams.push_back(new Stream(lock(), streams.size(), blocking, legacy_stream));
  return streams.back();
}

Stream* State::stream(cudaStream_t handle) {
  if (reinterpret_cast<std::uintptr_t>(handle) <= 1) {
    if (legacy == nullptr) legacy = make_stream(true, true);
    return legacy;
  }
  for (Stream* stream : streams) {
    if (stream == reinterpret_cast<Stream*>(handle) && !stream->gone) return stream;
  }
  report("use of a stream that is destroyed or was never made", handle, 0);
  std::abort();
}

void State::submit(Stream* stream, Task* task) {
  const auto wait_for = [&](Stream* other) {
    auto* wait = new Task{Task::Kind::wait};
    wait->point = other->mark();
    stream->push(wait);
  };
  if (stream->legacy) {
    for (Stream* other : streams) {
      if (other != stream && other->blocking && !other->gone) wait_for(other);
    }
  } else if (stream->blocking && legacy != nullptr) {
    wait_for(legacy);
  }
  stream->push(task);
}

bool State::in_flight(const void* place, std::size_t bytes) const {
  for (const Stream* stream : streams) {
    if (stream->uses(place, bytes)) return true;
  }
  return false;
}

void State::report(const char* what, const void* place, std::size_t bytes) {
  ++reports;
  std::fprintf(stderr, "fake CUDA: %s [%p, +%zu)\n", what, place, bytes);
}

cudaError_t State::check(const void* place, std::size_t bytes) {
  const Block* block = memory.holding(place, bytes);
  if (memory.on_device(place)) {
    if (block != nullptr && !block->freed) return cudaSuccess;
    report(block == nullptr ? "copy outside of one device allocation" : "copy of device memory that was freed", place, bytes);
    return cudaErrorInvalidValue;
  }
  if (block != nullptr) return cudaSuccess;
  if (memory.overlaps(place, bytes)) {
    report("copy across the end of pinned memory", place, bytes);
    return cudaErrorInvalidValue;
  }
  return cudaSuccess;
}

bool State::pageable(const void* place, std::size_t bytes) {
  if (memory.on_device(place) || memory.holding(place, bytes) != nullptr) return false;
  ++calls("pageable copy");
  return true;
}

cudaError_t enter(const char* api) {
  State& all = state();
  ++all.calls(api);
  if (all.driver == 0 || all.driver < CUDART_VERSION / 1000 * 1000) return cudaErrorInsufficientDriver;
  if (all.devices <= 0) return cudaErrorNoDevice;
  if (all.broken != cudaSuccess) return all.broken;
  for (Failure& failure : all.failures) {
    if (same_name(failure.api, api) && failure.after > 0 && --failure.after == 0) return failure.code;
  }
  return cudaSuccess;
}

cudaError_t noted(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

cudaError_t outlived() {
  const std::lock_guard hold(lock());
  return noted(state().broken);
}

}  // namespace gsnake::fake_cuda

using gsnake::fake_cuda::lock;
using gsnake::fake_cuda::state;

extern "C" {

cudaError_t cudaGetLastError() {
  const std::lock_guard hold(lock());
  const cudaError_t error = gsnake::fake_cuda::last_error;
  gsnake::fake_cuda::last_error = state().broken;
  return error;
}
cudaError_t cudaPeekAtLastError() { return gsnake::fake_cuda::last_error; }

void fake_cuda_set_delays(const FakeCudaDelays* delays) {
  const std::lock_guard hold(lock());
  gsnake::fake_cuda::delays() = *delays;
}
void* fake_cuda_real(const void* place) { return state().memory.real(place); }
void fake_cuda_open_memory() {
  const std::lock_guard hold(lock());
  state().memory.open();
}
void fake_cuda_uses(const void* place, size_t bytes) {
  const std::lock_guard hold(lock());
  const gsnake::fake_cuda::Block* block = state().memory.holding(place, bytes);
  if (block == nullptr || block->freed) state().report("a kernel touches memory that is not live", place, bytes);
}
void fake_cuda_fail(const char* api, int nth, cudaError_t code) {
  const std::lock_guard hold(lock());
  state().failures.push_back({strdup(api), nth, code});  // for good: a test names few
}
void fake_cuda_break(cudaError_t code) {
  const std::lock_guard hold(lock());
  state().broken = code;
}
void fake_cuda_mend() {
  const std::lock_guard hold(lock());
  state().broken = cudaSuccess;
  for (gsnake::fake_cuda::Failure& failure : state().failures) failure.after = 0;
}
void fake_cuda_integrate(int integrated) {
  const std::lock_guard hold(lock());
  state().integrated = integrated;
}
long fake_cuda_calls(const char* api) {
  const std::lock_guard hold(lock());
  for (const gsnake::fake_cuda::CallCount& count : state().counts) {
    if (gsnake::fake_cuda::same_name(count.api, api)) return count.calls;
  }
  return 0;
}
int fake_cuda_reports() {
  const std::lock_guard hold(lock());
  return state().reports;
}
size_t fake_cuda_live_bytes() {
  const std::lock_guard hold(lock());
  return state().memory.live();
}

}  // extern "C"
