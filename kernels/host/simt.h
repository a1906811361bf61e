// Kernels on the CPU: what nvcc's <<<>>>, threadIdx, __shared__, barriers and shuffles are in the host build of a .cu file. One fiber per thread of
// a block, in an order that a seed shuffles; blocks one after another. Made for tests: it is strict, and not fast.
//
// What it finds beside wrong results: under ThreadSanitizer races between the threads of a launch, of one block or of two, whatever the order (each thread
// is a fiber of its own there, which only __syncthreads orders); shared memory read before it is written (it starts as NaN); a barrier or shuffle
// that a part of the threads reaches, which ends the program with a message.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <tuple>
#include <type_traits>

namespace gsnake::simt {

// How a launch reaches its stream: `run(argument)` is to be called once, later, on any thread, in the stream's order. When it returns an error, it will not
// call run, and the launcher returns that error.
using Submit = cudaError_t (*)(cudaStream_t stream, void (*run)(void*), void* argument);
// From an address as the program knows it to one that can be read here; asked for each pointer argument that is not null, when the launch runs.
using Translate = const void* (*)(const void*);

// Process-wide; set before the first launch, null for what is not wanted. Without `submit` a launch runs at once, on the caller's thread.
void set_submit(Submit submit, Translate translate);

// Of the order in which threads run, and of blocks. Process-wide. Results must not depend on it.
void set_seed(std::uint64_t seed);

// Blocks that a grid has at most, so that a small input takes several turns of a grid's loop; 0: as on a GPU. Process-wide.
void set_max_blocks(unsigned blocks);
unsigned max_blocks();

struct Shape {
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;
};

// Runs body(argument) for each thread of the grid. Thread-safe: launches of several streams run side by side.
void run_grid(const Shape& shape, void (*body)(void*), void* argument);

// In a kernel.
const uint3& thread_index();
const uint3& block_index();
const dim3& block_shape();
const dim3& grid_shape();
void barrier(const char* place);
std::uint64_t exchange(std::uint64_t bits, int from_lane, const char* place);  // lane `from_lane`'s bits; all lanes of the warp take part
int lane();
void* shared_memory(const void* tag, std::size_t bytes);  // the block's own, the same for each thread and tag
void* dynamic_shared_memory();

template <class T>
T exchange_value(T value, int from_lane, const char* place) {
  static_assert(sizeof(T) <= 8);
  std::uint64_t bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(T));
  bits = exchange(bits, from_lane, place);
  __builtin_memcpy(&value, &bits, sizeof(T));
  return value;
}

namespace detail {

Submit submit();
const void* translated(const void* pointer);

// A launch with its arguments, as it waits for its turn.
template <class... P>
struct Launch {
  Shape shape;
  void (*kernel)(P...);
  std::tuple<P...> arguments;

  template <class T>
  static T readable(T value) {
    if constexpr (std::is_pointer_v<T>) {
      return value == nullptr ? value : static_cast<T>(const_cast<void*>(translated(value)));
    } else {
      return value;
    }
  }
  void run() {
    std::apply([](P&... values) { ((values = readable(values)), ...); }, arguments);
    run_grid(shape, [](void* self) { std::apply(static_cast<Launch*>(self)->kernel, static_cast<Launch*>(self)->arguments); }, this);
  }
};

}  // namespace detail

template <class... P, class... A>
cudaError_t launch(cudaStream_t stream, const Shape& shape, void (*kernel)(P...), A... arguments) {
  using Packed = detail::Launch<P...>;
  auto packed = std::make_unique<Packed>(Packed{shape, kernel, std::tuple<P...>(arguments...)});
  const Submit submit = detail::submit();
  if (submit == nullptr) {
    packed->run();
    return cudaSuccess;
  }
  const auto run = [](void* argument) { std::unique_ptr<Packed>(static_cast<Packed*>(argument))->run(); };
  const cudaError_t error = submit(stream, run, packed.get());
  if (error == cudaSuccess) static_cast<void>(packed.release());  // run() owns it now
  return error;
}

}  // namespace gsnake::simt
