// Weights in the dtype that modules compute in, where they are stored in a narrower one.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstddef>
#include <cstdint>

#include "memory/anonymous.h"
#include "plan/model_layout.h"

namespace gsnake::backend {

// Up to three buffers (plan::WidenedElements), mapped at construction and touched at the first use. Widening is exact. One thread at a time.
class WidenedWeights {
 public:
  // Nothing to widen when the two dtypes are the same: no buffers, and widen() must not be called.
  WidenedWeights(const plan::ModelLayout& layout, at::ScalarType storage, at::ScalarType compute);

  [[nodiscard]] bool active() const { return storage_ != compute_; }
  [[nodiscard]] std::uint64_t bytes() const { return alone_.memory.bytes() + beside_.memory.bytes() + shared_.memory.bytes(); }

  // The flat copy, in the compute dtype, of object `object`, whose weights in the storage dtype are at `weights`. Valid until another
  // object of the same buffer is widened. Copies when `opens` (the bytes at `weights` may be new) or when the buffer holds anything else.
  std::byte* widen(int object, std::byte* weights, bool opens);
  // The next call of each buffer copies.
  void forget();

 private:
  struct Buffer {
    memory::AnonymousMemory memory;
    int object = -1;  // whose weights it holds; -1: nobody's
    const std::byte* weights = nullptr;
  };

  Buffer& buffer_of(int object);

  const plan::ModelLayout& layout_;
  at::ScalarType storage_;
  at::ScalarType compute_;
  Buffer alone_;
  Buffer beside_;  // what is frozen beside it
  Buffer shared_;  // what a tied head has from the embedding
};

}  // namespace gsnake::backend
