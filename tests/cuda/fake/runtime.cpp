// The CUDA runtime's calls that LibTorch and this project make: devices, streams, events, copies.
#include <cstdio>
#include <cstring>

#include "fake/state.h"

using gsnake::fake_cuda::drop;
using gsnake::fake_cuda::happens_after;
using gsnake::fake_cuda::lock;
using gsnake::fake_cuda::noted;
using gsnake::fake_cuda::outlived;
using gsnake::fake_cuda::Point;
using gsnake::fake_cuda::share;
using gsnake::fake_cuda::State;
using gsnake::fake_cuda::state;
using gsnake::fake_cuda::Stream;
using gsnake::fake_cuda::Task;

namespace {

thread_local int current_device = 0;

// Drops it.
void pass(Point* point) {
  point->passed.pass();
  happens_after(point);
  drop(point);
}

Point*& point_of(cudaEvent_t event) { return *reinterpret_cast<Point**>(event); }

Task* copy_task(State& all, void* destination, const void* source, size_t bytes) {
  auto* task = new Task{Task::Kind::copy};
  task->destination = {all.memory.real(destination), bytes};
  task->source = {all.memory.real(source), bytes};
  return task;
}

bool fits_direction(const State& all, const void* destination, const void* source, cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault) return true;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  return to_device == all.memory.on_device(destination) && from_device == all.memory.on_device(source);
}

}  // namespace

extern "C" {

// Devices.

cudaError_t cudaGetDeviceCount(int* count) {
  const std::lock_guard hold(lock());
  *count = 0;
  if (state().driver == 0 || state().driver < CUDART_VERSION / 1000 * 1000) return noted(cudaErrorInsufficientDriver);
  *count = state().devices;
  return *count > 0 ? cudaSuccess : noted(cudaErrorNoDevice);
}
cudaError_t cudaGetDevice(int* device) {
  FAKE_CUDA_ENTER;
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  FAKE_CUDA_ENTER;
  if (device < 0 || device >= state().devices) return noted(cudaErrorInvalidDevice);
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  FAKE_CUDA_ENTER;
  if (device < 0 || device >= state().devices) return noted(cudaErrorInvalidDevice);
  std::memset(properties, 0, sizeof(*properties));
  std::strcpy(properties->name, "Fake GPU (threads of the CPU)");
  properties->major = 8;
  properties->minor = 0;
  properties->totalGlobalMem = state().memory.total();
  properties->multiProcessorCount = 4;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = 1024;
  properties->maxThreadsPerMultiProcessor = 2048;
  properties->sharedMemPerBlock = 48U << 10U;
  properties->asyncEngineCount = 2;
  properties->unifiedAddressing = 1;
  properties->pciBusID = device + 1;
  properties->integrated = state().integrated;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
  FAKE_CUDA_ENTER;
  *total = state().memory.total();
  *available = *total - state().memory.live();
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  const std::lock_guard hold(lock());
  *version = state().driver;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
const char* cudaGetErrorName(cudaError_t error) {
  static thread_local char text[64];
  std::snprintf(text, sizeof(text), "cudaError %d", static_cast<int>(error));
  return text;
}
const char* cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : "an error of the fake runtime"; }
cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device) {
  FAKE_CUDA_ENTER;
  std::snprintf(text, static_cast<size_t>(length), "0000:%02x:00.0", device + 1);
  return cudaSuccess;
}

// Streams.

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  FAKE_CUDA_ENTER;
  *stream = reinterpret_cast<cudaStream_t>(state().make_stream((flags & cudaStreamNonBlocking) == 0));
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) { return cudaStreamCreateWithFlags(stream, flags); }
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t handle) {  // does not wait
  FAKE_CUDA_ENTER;
  Stream* stream = state().stream(handle);
  stream->gone = true;
  stream->push(new Task{Task::Kind::stop});
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  Point* point = nullptr;
  {
    FAKE_CUDA_ENTER;
    Stream* stream = state().stream(handle);
    if (!stream->idle()) return cudaErrorNotReady;
    point = stream->mark();
  }
  pass(point);
  return outlived();
}
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  Point* point = nullptr;
  {
    FAKE_CUDA_ENTER;
    point = state().stream(handle)->mark();
  }
  pass(point);
  return outlived();
}
cudaError_t cudaDeviceSynchronize() {
  std::vector<Point*> points;
  {
    FAKE_CUDA_ENTER;
    for (Stream* stream : state().streams) {
      if (!stream->gone) points.push_back(stream->mark());
    }
  }
  for (Point* point : points) pass(point);
  return outlived();
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  FAKE_CUDA_ENTER;
  Point* point = point_of(event);
  if (point == nullptr) return cudaSuccess;  // never recorded: no wait
  share(point);
  auto* task = new Task{Task::Kind::wait};
  task->point = point;
  state().submit(state().stream(stream), task);
  return cudaSuccess;
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  FAKE_CUDA_ENTER;
  auto* task = new Task{Task::Kind::run};
  task->function = function;
  task->argument = argument;
  state().submit(state().stream(stream), task);
  return cudaSuccess;
}

// Events: a pointer to the point of the last recording.

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  FAKE_CUDA_ENTER;
  *event = reinterpret_cast<cudaEvent_t>(new Point*(nullptr));
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {  // whatever else is broken
  const std::lock_guard hold(lock());
  if (event == nullptr) return noted(cudaErrorInvalidResourceHandle);
  drop(point_of(event));
  delete &point_of(event);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  FAKE_CUDA_ENTER;
  auto* task = new Task{Task::Kind::record};
  task->point = new Point;
  share(task->point);
  drop(point_of(event));
  point_of(event) = task->point;
  state().submit(state().stream(stream), task);
  return cudaSuccess;
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) { return cudaEventRecord(event, stream); }
cudaError_t cudaEventQuery(cudaEvent_t event) {
  FAKE_CUDA_ENTER;
  Point* point = point_of(event);
  if (point == nullptr) return cudaSuccess;
  if (!point->passed.is_open()) return cudaErrorNotReady;
  happens_after(point);
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  Point* point = nullptr;
  {
    FAKE_CUDA_ENTER;
    point = point_of(event);
    if (point == nullptr) return cudaSuccess;
    share(point);
  }
  pass(point);
  return outlived();
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t first, cudaEvent_t second) {
  FAKE_CUDA_ENTER;
  const Point* from = point_of(first);
  const Point* to = point_of(second);
  if (from == nullptr || to == nullptr) return noted(cudaErrorInvalidResourceHandle);
  if (!from->passed.is_open() || !to->passed.is_open()) return cudaErrorNotReady;
  *ms = static_cast<float>(to->when_ms - from->when_ms);
  return cudaSuccess;
}

// Copies.

cudaError_t cudaMemcpyAsync(void* destination, const void* source, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  Point* staged = nullptr;
  {
    FAKE_CUDA_ENTER;
    if (bytes == 0) return cudaSuccess;
    State& all = state();
    if (!fits_direction(all, destination, source, kind)) {
      all.report("the direction of a copy does not fit its addresses", destination, bytes);
      return noted(cudaErrorInvalidMemcpyDirection);
    }
    if (const cudaError_t error = all.check(destination, bytes)) return noted(error);
    if (const cudaError_t error = all.check(source, bytes)) return noted(error);
    Stream* on = all.stream(stream);
    all.submit(on, copy_task(all, destination, source, bytes));
    if (all.pageable(destination, bytes) || all.pageable(source, bytes)) staged = on->mark();
  }
  if (staged == nullptr) return cudaSuccess;
  pass(staged);
  return outlived();
}
cudaError_t cudaMemcpy(void* destination, const void* source, size_t bytes, cudaMemcpyKind) {
  Point* point = nullptr;
  {
    FAKE_CUDA_ENTER;
    State& all = state();
    Stream* legacy = all.stream(nullptr);
    all.submit(legacy, copy_task(all, destination, source, bytes));
    point = legacy->mark();
  }
  pass(point);
  return outlived();
}
cudaError_t cudaMemsetAsync(void* destination, int value, size_t bytes, cudaStream_t stream) {
  FAKE_CUDA_ENTER;
  if (bytes == 0) return cudaSuccess;
  State& all = state();
  if (const cudaError_t error = all.check(destination, bytes)) return noted(error);
  auto* task = new Task{Task::Kind::set};
  task->destination = {all.memory.real(destination), bytes};
  task->value = value;
  all.submit(all.stream(stream), task);
  return cudaSuccess;
}

cudaError_t fake_cuda_launch(cudaStream_t stream, void (*run)(void*), void* argument) { return cudaLaunchHostFunc(stream, run, argument); }

}  // extern "C"
