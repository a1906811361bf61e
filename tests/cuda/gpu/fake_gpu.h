// LibTorch's CUDA tensors compute, on the fake CUDA runtime: every kernel of LibTorch's that the CPU has as well is replaced by one that does
// the CPU's work on the device's memory, later, in the order of its stream. LibTorch's autograd, caching allocator, streams, events and copies
// are its own. A GPU's rounding, cuBLAS, its random numbers and its speed are not shown.
#pragma once

namespace gsnake::fake_gpu {

// Once, before the first tensor on cuda:0. Any later call does nothing.
void install();

struct Counts {
  long queued = 0;   // operations that ran on a stream's thread, later
  long awaited = 0;  // that waited for their stream first, as only their result or their data tell what they do
};
Counts counts();

}  // namespace gsnake::fake_gpu
