// Memory is what limits this: a thread stores 16 bytes at once, and has the codes and scales of several such groups under way before it needs the first.
#include "dequantise.h"

#include <limits>

#include "numbers.h"

namespace gsnake::kernels {
namespace {

constexpr int kAhead = 4;                        // groups of a thread under way
constexpr std::uint64_t kSecondBlock = 256;      // nf4: blocks that share a second-level scale
constexpr std::uint32_t kMagnitude = 0x7fffffffU;
constexpr std::uint32_t kInfinity = 0x7f800000U;
constexpr std::uint32_t kNan = 0x7fc00000U;

// How a format's codes lie: their type, elements of one, elements of a block (0: no scales).
template <PackedFormat>
struct Codes;
template <>
struct Codes<PackedFormat::fp32> {
  using Code = float;
  static constexpr int kPerCode = 1, kElements = 0;
};
template <>
struct Codes<PackedFormat::bf16> {
  using Code = Bf16;
  static constexpr int kPerCode = 1, kElements = 0;
};
template <>
struct Codes<PackedFormat::int8> {
  using Code = std::int8_t;
  static constexpr int kPerCode = 1, kElements = 64, kScaleBytes = 4;
};
template <>
struct Codes<PackedFormat::nf4> {
  using Code = std::uint8_t;
  static constexpr int kPerCode = 2, kElements = 64, kScaleBytes = 1;
};
template <>
struct Codes<PackedFormat::mxfp4> {
  using Code = std::uint8_t;
  static constexpr int kPerCode = 2, kElements = 32, kScaleBytes = 1;
};

// NormalFloat's values (Dettmers et al. 2023, appendix E).
__device__ const float kNf4[16] = {-1.0F,
                                   -0.6961928009986877F,
                                   -0.5250730514526367F,
                                   -0.39491748809814453F,
                                   -0.28444138169288635F,
                                   -0.18477343022823334F,
                                   -0.09105003625154495F,
                                   0.0F,
                                   0.07958029955625534F,
                                   0.16093020141124725F,
                                   0.24611230194568634F,
                                   0.33791524171829224F,
                                   0.44070982933044434F,
                                   0.5626170039176941F,
                                   0.7229568362236023F,
                                   1.0F};

// The dynamic map of 8 bits (Dettmers et al. 2022), as src/quant/codes.h has it for the CPU.
struct DynamicMap {
  float at[256];
};
constexpr DynamicMap dynamic_map() {
  constexpr float kDecades[7] = {1e-6F, 1e-5F, 1e-4F, 1e-3F, 1e-2F, 1e-1F, 1.0F};
  DynamicMap map{};
  map.at[255] = 1.0F;
  int at = 128;
  for (int decade = 0; decade < 7; ++decade) {
    const int steps = 1 << decade;
    const float width = (1.0F - 0.1F) / static_cast<float>(steps);
    const auto point = [&](int k) {
      return static_cast<float>(k < (steps + 1) / 2 ? static_cast<double>(0.1F) + static_cast<double>(width) * k : 1.0 - static_cast<double>(width) * (steps - k));
    };
    for (int k = 0; k < steps; ++k, ++at) {
      map.at[at] = kDecades[decade] * ((point(k) + point(k + 1)) / 2.0F);
      map.at[254 - at] = -map.at[at];
    }
  }
  return map;
}
__device__ const DynamicMap kDynamicMap = dynamic_map();

// Where the sections begin, in bytes; the codes begin at 0.
struct Sections {
  std::int64_t scales = 0;
  std::int64_t second = 0;
};

template <PackedFormat kFormat>
Sections sections_of(std::int64_t elements) {
  using Of = Codes<kFormat>;
  if constexpr (Of::kElements == 0) {
    return {};
  } else {
    const auto padded = [](std::int64_t bytes) { return (bytes + 63) / 64 * 64; };
    const std::int64_t scales = padded(elements / Of::kPerCode + elements % Of::kPerCode);
    const std::int64_t blocks = elements / Of::kElements + (elements % Of::kElements != 0 ? 1 : 0);
    return {scales, scales + padded(blocks * Of::kScaleBytes)};
  }
}

__device__ inline bool is_nan(float value) { return (__float_as_uint(value) & kMagnitude) > kInfinity; }

// A product as x86-64 has it: the GPU knows one NaN alone, there a factor's stays, and infinity * 0 has a sign.
__device__ inline float product(float value, float scale) {
  const float result = __fmul_rn(value, scale);
  if (!is_nan(result)) return result;
  return __uint_as_float(is_nan(scale) ? __float_as_uint(scale) | 0x400000U : 0xffc00000U);
}

// To nearest, ties to even, of any bits as the CPU does it; narrow() makes every NaN the same.
template <class T>
__device__ inline T rounded(float value) {
  if constexpr (sizeof(T) == 4) {
    return value;
  } else {
    const std::uint32_t bits = __float_as_uint(value);
    return {static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U)};
  }
}

// E2M1's exponent and mantissa in a float's place are too small by the difference of the two biases.
__device__ inline float e2m1(unsigned code) { return __fmul_rn(__uint_as_float((code & 8U) << 28U | (code & 7U) << 22U), 0x1p126F); }

// What a block's scale is made of.
struct Scale {
  float number = 0.0F;  // int8: the scale; nf4: the second-level scale
  std::uint8_t code = 0;
};

// A packed tensor, in a kernel. `nf4`: kNf4 in shared memory, where lanes that ask for different values do not wait for one another.
template <PackedFormat kFormat>
struct Reader {
  using Of = Codes<kFormat>;
  using Code = typename Of::Code;

  const Code* codes;
  const std::uint8_t* scales;
  const float* second;
  const float* nf4;
  float offset;

  __device__ Reader(const std::uint8_t* packed, const Sections& sections, const float* values)
      : codes(reinterpret_cast<const Code*>(packed)),
        scales(packed + sections.scales),
        second(reinterpret_cast<const float*>(packed + sections.second)),
        nf4(values),
        offset(kFormat == PackedFormat::nf4 && sections.second != 0 ? second[0] : 0.0F) {}  // an empty table has none

  __device__ float value(Code code, int odd) const {
    if constexpr (kFormat == PackedFormat::nf4) {
      return nf4[odd != 0 ? code & 15U : code >> 4U];
    } else if constexpr (kFormat == PackedFormat::mxfp4) {
      return e2m1(odd != 0 ? code >> 4U : code & 15U);
    } else if constexpr (kFormat == PackedFormat::int8) {
      return static_cast<float>(code);
    } else {
      return widen(code);
    }
  }

  __device__ Scale read_scale(std::uint64_t element) const {
    Scale scale;
    if constexpr (Of::kElements != 0) {
      const std::uint64_t block = element / Of::kElements;
      if constexpr (kFormat == PackedFormat::int8) {
        scale.number = reinterpret_cast<const float*>(scales)[block];
      } else {
        scale.code = scales[block];
        if constexpr (kFormat == PackedFormat::nf4) scale.number = second[1 + block / kSecondBlock];
      }
    }
    return scale;
  }

  __device__ float worth(const Scale& scale) const {
    if constexpr (kFormat == PackedFormat::nf4) {
      return __fadd_rn(__fmul_rn(kDynamicMap.at[scale.code], scale.number), offset);
    } else if constexpr (kFormat == PackedFormat::mxfp4) {
      return __uint_as_float(scale.code == 0 ? 0x00400000U : scale.code == 255 ? kNan : static_cast<std::uint32_t>(scale.code) << 23U);
    } else {
      return scale.number;
    }
  }

  template <class T>
  __device__ T element(std::uint64_t index) const {
    const float one = value(codes[index / Of::kPerCode], static_cast<int>(index % Of::kPerCode));
    if constexpr (Of::kElements == 0) {
      return rounded<T>(one);
    } else {
      return rounded<T>(product(one, worth(read_scale(index))));
    }
  }

  // N neighbours of one block.
  template <class T, int N>
  __device__ void group(const Group<Code, N / Of::kPerCode>& code, const Scale& parts, T (&result)[N]) const {
    if constexpr (Of::kElements == 0) {
#pragma unroll
      for (int i = 0; i < N; ++i) result[i] = rounded<T>(value(code.at[i], 0));
    } else {
      const float scale = worth(parts);
      if ((__float_as_uint(scale) & kMagnitude) < kInfinity) {  // then no product is a NaN
#pragma unroll
        for (int i = 0; i < N; ++i) result[i] = narrow<T>(__fmul_rn(value(code.at[i / Of::kPerCode], i % Of::kPerCode), scale));
      } else {
#pragma unroll
        for (int i = 0; i < N; ++i) result[i] = rounded<T>(product(value(code.at[i / Of::kPerCode], i % Of::kPerCode), scale));
      }
    }
  }
};

// One store: of an assignment nvcc makes four, where it loses sight of the alignment.
__device__ inline void store_group(const float (&values)[4], float* out) {
  __stwb(reinterpret_cast<uint4*>(out), make_uint4(__float_as_uint(values[0]), __float_as_uint(values[1]), __float_as_uint(values[2]), __float_as_uint(values[3])));
}
__device__ inline void store_group(const Bf16 (&values)[8], Bf16* out) {
  const auto pair = [&](int i) { return static_cast<unsigned>(values[i].bits) | static_cast<unsigned>(values[i + 1].bits) << 16U; };
  __stwb(reinterpret_cast<uint4*>(out), make_uint4(pair(0), pair(2), pair(4), pair(6)));
}

// A range of elements: `head` of them one by one, then groups whose first index is a multiple of their size, then the rest one by one.
struct Range {
  std::int64_t first = 0;
  std::int64_t count = 0;
  std::int64_t head = 0;
  std::int64_t groups = 0;
};

// The part of one thread out of `threads`.
template <PackedFormat kFormat, class T>
__device__ inline void unpack(const Reader<kFormat>& reader, const Range& range, T* out, std::int64_t thread, std::int64_t threads) {
  constexpr int N = kWidth<T>;
  using Packed = Group<typename Reader<kFormat>::Code, N / Reader<kFormat>::Of::kPerCode>;
  const std::int64_t begin = range.first + range.head;
#pragma unroll 1
  for (std::int64_t from = thread; from < range.groups; from += kAhead * threads) {
    Packed codes[kAhead];
    Scale scales[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const std::int64_t ahead = from + i * threads;
      const std::int64_t group = ahead < range.groups ? ahead : range.groups - 1;
      const auto element = static_cast<std::uint64_t>(begin + group * N);
      codes[i] = *reinterpret_cast<const Packed*>(reader.codes + element / Reader<kFormat>::Of::kPerCode);
      scales[i] = reader.read_scale(element);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const std::int64_t group = from + i * threads;
      T values[N];
      reader.group(codes[i], scales[i], values);
      if (group < range.groups) store_group(values, out + range.head + group * N);
    }
  }
#pragma unroll 1
  for (std::int64_t i = thread; i < range.count - range.groups * N; i += threads) {
    const std::int64_t at = i < range.head ? i : i + range.groups * N;
    out[at] = reader.template element<T>(static_cast<std::uint64_t>(range.first + at));
  }
}

// All threads of the block take part.
template <PackedFormat kFormat>
__device__ inline void share_values(float* values) {
  if constexpr (kFormat == PackedFormat::nf4) {
    if (threadIdx.x < 16) values[threadIdx.x] = kNf4[threadIdx.x];
    __syncthreads();
  }
}

template <PackedFormat kFormat, class T>
__global__ void __launch_bounds__(kBlock) dequantise_kernel(const std::uint8_t* packed, Sections sections, Range range, T* out) {
  GSNAKE_SHARED(float, values, 16);
  share_values<kFormat>(values);
  unpack(Reader<kFormat>(packed, sections, values), range, out, grid_thread(), grid_threads());
}

// A block takes whole rows.
template <PackedFormat kFormat, class T>
__global__ void __launch_bounds__(kBlock)
    gather_kernel(const std::uint8_t* packed, Sections sections, std::int64_t rows, Range row, const std::int64_t* ids, std::int64_t count, T* out) {
  GSNAKE_SHARED(float, values, 16);
  share_values<kFormat>(values);
  const Reader<kFormat> reader(packed, sections, values);
  for (std::int64_t i = blockIdx.x; i < count; i += gridDim.x) {
    const std::int64_t id = ids[i];
    T* const to = out + i * row.count;
    if (id >= 0 && id < rows) {
      row.first = id * row.count;
      unpack(reader, row, to, threadIdx.x, kBlock);
    } else {
      for (std::int64_t c = threadIdx.x; c < row.count; c += kBlock) to[c] = rounded<T>(__uint_as_float(kNan));
    }
  }
}

template <class T>
Range range_of(const DequantiseCall& call) {
  constexpr std::int64_t kGroup = kWidth<T>;
  Range range{call.first, call.count, call.count, 0};
  const std::int64_t head = (kGroup - call.first % kGroup) % kGroup;
  if (head < call.count && aligned(call.packed, 32) && aligned(static_cast<const T*>(call.out) + head)) {
    range.head = head;
    range.groups = (call.count - head) / kGroup;
  }
  return range;
}

// body.operator()<format, T>() by what a call names.
template <class T, class Body>
cudaError_t with_format(PackedFormat format, Body& body) {
  switch (format) {
    case PackedFormat::fp32: return body.template operator()<PackedFormat::fp32, T>();
    case PackedFormat::bf16: return body.template operator()<PackedFormat::bf16, T>();
    case PackedFormat::int8: return body.template operator()<PackedFormat::int8, T>();
    case PackedFormat::nf4: return body.template operator()<PackedFormat::nf4, T>();
    case PackedFormat::mxfp4: return body.template operator()<PackedFormat::mxfp4, T>();
  }
  return cudaErrorInvalidValue;
}
template <class Body>
cudaError_t with_both(PackedFormat format, Dtype dtype, Body body) {
  if (dtype == Dtype::fp32) return with_format<float>(format, body);
  if (dtype == Dtype::bf16) return with_format<Bf16>(format, body);
  return cudaErrorInvalidValue;
}

}  // namespace

cudaError_t dequantise(const DequantiseCall& call, cudaStream_t stream) {
  if (call.first < 0 || call.count < 0 || call.first > call.elements || call.count > call.elements - call.first) return cudaErrorInvalidValue;
  return with_both(call.format, call.dtype, [&]<PackedFormat kFormat, class T>() {
    if (call.count == 0) return cudaSuccess;
    const Range range = range_of<T>(call);
    const std::int64_t threads = std::max(range.groups / kAhead, range.count - range.groups * kWidth<T>);
    return launch(stream, {dim3(blocks_for(threads))}, dequantise_kernel<kFormat, T>, static_cast<const std::uint8_t*>(call.packed),
                  sections_of<kFormat>(call.elements), range, static_cast<T*>(call.out));
  });
}

cudaError_t gather(const GatherCall& call, cudaStream_t stream) {
  if (call.rows < 0 || call.columns < 0 || call.count < 0) return cudaErrorInvalidValue;
  if (call.columns != 0 && call.rows > std::numeric_limits<std::int64_t>::max() / call.columns) return cudaErrorInvalidValue;
  return with_both(call.format, call.dtype, [&]<PackedFormat kFormat, class T>() {
    if (call.count == 0 || call.columns == 0) return cudaSuccess;
    Range row{0, call.columns, call.columns, 0};
    if (call.columns % kWidth<T> == 0 && aligned(call.packed, 32) && aligned(call.out)) row = {0, call.columns, 0, call.columns / kWidth<T>};
    return launch(stream, {dim3(blocks_for(call.count, 1))}, gather_kernel<kFormat, T>, static_cast<const std::uint8_t*>(call.packed),
                  sections_of<kFormat>(call.rows * call.columns), call.rows, row, call.ids, call.count, static_cast<T*>(call.out));
  });
}

}  // namespace gsnake::kernels
