#include "split_master.h"

#include "master_bits.h"
#include "numbers.h"

namespace gsnake::kernels {
namespace {

constexpr int kGroup = 8;  // 16 bytes of the 16-bit arrays

// Elements [begin, begin + kGroup) of `count`, by body(index); at once where `whole` lets groups be.
template <class Whole, class One>
__device__ void each_group(std::int64_t count, bool whole, Whole at_once, One one) {
  for (std::int64_t begin = grid_thread() * kGroup; begin < count; begin += grid_threads() * kGroup) {
    if (whole && begin + kGroup <= count) {
      at_once(begin);
    } else {
      for (std::int64_t i = begin; i < begin + kGroup && i < count; ++i) one(i);
    }
  }
}

template <class T>
__device__ Group<T, kGroup> read(const T* array, std::int64_t begin) {
  // fp32 comes in two halves of 16 bytes.
  constexpr int kPart = sizeof(T) == 4 ? kGroup / 2 : kGroup;
  Group<T, kGroup> group;
#pragma unroll
  for (int part = 0; part < kGroup; part += kPart) {
    const auto values = *reinterpret_cast<const Group<T, kPart>*>(array + begin + part);
#pragma unroll
    for (int i = 0; i < kPart; ++i) group.at[part + i] = values.at[i];
  }
  return group;
}

template <class T>
__device__ void write(T* array, std::int64_t begin, const Group<T, kGroup>& group) {
  constexpr int kPart = sizeof(T) == 4 ? kGroup / 2 : kGroup;
#pragma unroll
  for (int part = 0; part < kGroup; part += kPart) {
    Group<T, kPart> values;
#pragma unroll
    for (int i = 0; i < kPart; ++i) values.at[i] = group.at[part + i];
    *reinterpret_cast<Group<T, kPart>*>(array + begin + part) = values;
  }
}

__global__ void __launch_bounds__(kBlock, 4) split_kernel(const float* master, std::uint16_t* weight, std::int16_t* remainder, std::int64_t count, bool whole) {
  each_group(
      count, whole,
      [=](std::int64_t begin) {
        const auto masters = read(master, begin);
        Group<std::uint16_t, kGroup> weights;
        Group<std::int16_t, kGroup> remainders;
#pragma unroll
        for (int i = 0; i < kGroup; ++i) {
          const std::uint32_t bits = __float_as_uint(masters.at[i]);
          weights.at[i] = split_weight(bits);
          remainders.at[i] = split_remainder(bits);
        }
        write(weight, begin, weights);
        write(remainder, begin, remainders);
      },
      [=](std::int64_t i) {
        const std::uint32_t bits = __float_as_uint(master[i]);
        weight[i] = split_weight(bits);
        remainder[i] = split_remainder(bits);
      });
}

__global__ void __launch_bounds__(kBlock) join_kernel(const std::uint16_t* weight, const std::int16_t* remainder, float* master, std::int64_t count, bool whole) {
  each_group(
      count, whole,
      [=](std::int64_t begin) {
        const auto weights = read(weight, begin);
        const auto remainders = read(remainder, begin);
        Group<float, kGroup> masters;
#pragma unroll
        for (int i = 0; i < kGroup; ++i) masters.at[i] = __uint_as_float(join_bits(weights.at[i], remainders.at[i]));
        write(master, begin, masters);
      },
      [=](std::int64_t i) { master[i] = __uint_as_float(join_bits(weight[i], remainder[i])); });
}

__global__ void __launch_bounds__(kBlock) to_fp16_kernel(const float* master, std::uint16_t* weight, std::int64_t count, bool whole) {
  each_group(
      count, whole,
      [=](std::int64_t begin) {
        const auto masters = read(master, begin);
        Group<std::uint16_t, kGroup> weights;
#pragma unroll
        for (int i = 0; i < kGroup; ++i) weights.at[i] = narrow<Fp16>(masters.at[i]).bits;
        write(weight, begin, weights);
      },
      [=](std::int64_t i) { weight[i] = narrow<Fp16>(master[i]).bits; });
}

LaunchShape shape_of(std::int64_t count) { return {dim3(blocks_for((count + kGroup - 1) / kGroup))}; }

}  // namespace

cudaError_t split_master(const float* master, std::uint16_t* weight, std::int16_t* remainder, std::int64_t count, cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  return launch(stream, shape_of(count), split_kernel, master, weight, remainder, count, all_aligned(master, weight, remainder));
}

cudaError_t join_master(const std::uint16_t* weight, const std::int16_t* remainder, float* master, std::int64_t count, cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  return launch(stream, shape_of(count), join_kernel, weight, remainder, master, count, all_aligned(master, weight, remainder));
}

cudaError_t to_fp16(const float* master, std::uint16_t* weight, std::int64_t count, cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  return launch(stream, shape_of(count), to_fp16_kernel, master, weight, count, all_aligned(master, weight));
}

}  // namespace gsnake::kernels
