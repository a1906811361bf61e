// Runs on the host build and on a GPU (place.h).
#include "kernels/dequantise.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/place.h"
#include "quant/format.h"
#include "quant/support.h"
#include "sweep.h"

namespace gsnake::kernels {
namespace {

using quant::Format;
using Bytes = std::vector<std::byte>;

static_assert(static_cast<int>(PackedFormat::fp32) == static_cast<int>(Format::fp32));
static_assert(static_cast<int>(PackedFormat::bf16) == static_cast<int>(Format::bf16));
static_assert(static_cast<int>(PackedFormat::int8) == static_cast<int>(Format::int8));
static_assert(static_cast<int>(PackedFormat::nf4) == static_cast<int>(Format::nf4));
static_assert(static_cast<int>(PackedFormat::mxfp4) == static_cast<int>(Format::mxfp4));

constexpr std::byte kFill{0xa5};
constexpr std::size_t kGuard = 64;

// The CPU's bytes for elements [first, first + count).
Bytes wanted(Format format, const Bytes& packed, std::uint64_t elements, std::uint64_t first, std::uint64_t count, Dtype dtype) {
  const auto read = [&]<class T>(T) {
    std::vector<T> values(count);
    quant::dequantise(format, packed.data(), elements, first, std::span(values));
    Bytes bytes(count * sizeof(T));
    if (count != 0) std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  };
  return dtype == Dtype::fp32 ? read(float{}) : read(std::uint16_t{});
}

// What launch(out) writes, whose out begins `offset` bytes past a boundary of 64; fails the test for bytes around it.
template <class Launch>
Bytes written(std::size_t bytes, std::size_t offset, Launch launch) {
  Bytes all(kGuard + offset + bytes + kGuard, kFill);
  const auto device = place::on_device(all);
  EXPECT_EQ(launch(device.get() + kGuard + offset), cudaSuccess);
  place::to_host(all.data(), device.get(), all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool inside = i >= kGuard + offset && i < kGuard + offset + bytes;
    if (inside || all[i] == kFill) continue;
    ADD_FAILURE() << "byte " << i << " was written, around " << bytes << " bytes at " << kGuard + offset;
    break;
  }
  const auto begin = all.begin() + static_cast<std::ptrdiff_t>(kGuard + offset);
  return {begin, begin + static_cast<std::ptrdiff_t>(bytes)};
}

std::size_t width(Dtype dtype) { return dtype == Dtype::fp32 ? 4 : 2; }

void expect_bytes(const Bytes& got, const Bytes& want, Dtype dtype, const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  if (got == want) return;
  const auto differs = static_cast<std::size_t>(std::ranges::mismatch(got, want).in1 - got.begin()) / width(dtype) * width(dtype);
  std::uint32_t is = 0, should_be = 0;
  std::memcpy(&is, got.data() + differs, width(dtype));
  std::memcpy(&should_be, want.data() + differs, width(dtype));
  ADD_FAILURE() << what << ": element " << differs / width(dtype) << " is " << std::hex << is << ", not " << should_be;
}

struct Tensor {
  Format format;
  std::uint64_t elements;
  Bytes packed;
  std::shared_ptr<std::byte> device;

  // `past`: bytes from a boundary of 64.
  Tensor(Format of, std::uint64_t count, Bytes bytes, std::size_t past = 0) : format(of), elements(count), packed(std::move(bytes)) {
    const auto memory = place::allocate(past + packed.size());
    device = {memory, memory.get() + past};
    place::to_device(device.get(), packed.data(), packed.size());
  }

  void check(std::uint64_t first, std::uint64_t count, Dtype dtype, std::size_t offset = 0) const {
    const DequantiseCall call{static_cast<PackedFormat>(format), device.get(), static_cast<std::int64_t>(elements), static_cast<std::int64_t>(first),
                              static_cast<std::int64_t>(count),  nullptr,      dtype};
    const Bytes got = written(count * width(dtype), offset * width(dtype), [&](void* out) {
      DequantiseCall to = call;
      to.out = out;
      return dequantise(to, nullptr);
    });
    expect_bytes(got, wanted(format, packed, elements, first, count, dtype), dtype,
                 std::string(quant::name_of(format)) + " to " + word_of(dtype) + ", " + std::to_string(count) + " from " + std::to_string(first) + " of " +
                     std::to_string(elements) + " on");
  }
};

class Dequantise : public testing::TestWithParam<std::tuple<Format, Dtype>> {
 protected:
  void SetUp() override {
    if (const char* cause = place::why_not()) GTEST_SKIP() << cause;
  }
  const Format format_ = std::get<0>(GetParam());
  const Dtype dtype_ = std::get<1>(GetParam());
};

Bytes packed_values(Format format, std::uint64_t elements, std::uint32_t seed) {
  return quant::test::pack(format, quant::test::adversarial_values(elements, seed));
}

TEST_P(Dequantise, HasTheBitsOfTheCpuForWholeTensors) {
  for (const std::uint64_t elements : quant::test::kSizes) {
    const Tensor tensor(format_, elements, packed_values(format_, elements, 1));
    place::in_each_order([&] { tensor.check(0, elements, dtype_); });
  }
}

TEST_P(Dequantise, HasThemForAnyRangeAndAlignment) {
  constexpr std::uint64_t kElements = 20011;
  const Tensor tensor(format_, kElements, packed_values(format_, kElements, 2));
  const Tensor unaligned(format_, kElements, tensor.packed, 4);
  for (std::uint64_t first = 0; first < 10; ++first) {
    for (const std::uint64_t count : {0, 1, 7, 8, 40, 601}) tensor.check(first, count, dtype_, first);
  }
  std::mt19937 random(3);
  for (int round = 0; round < test::sweep(12, 300); ++round) {
    const std::uint64_t first = random() % kElements;
    const std::uint64_t count = 1 + random() % std::min<std::uint64_t>(kElements - first, round % 2 == 0 ? 300 : kElements);
    const std::size_t offset = round % 3 == 0 ? first % 8 : random() % 8;
    place::in_each_order([&] { (round % 4 == 3 ? unaligned : tensor).check(first, count, dtype_, offset); });
  }
}

// Bytes that no packer writes as well: every code under scales of every kind, infinities and NaNs of fp32 and bf16.
TEST_P(Dequantise, HasThemForEveryCodeAndScale) {
  constexpr std::uint64_t kElements = 64 * 1024 + 5;
  Bytes packed(quant::packed_bytes(format_, kElements));
  std::mt19937 random(4);
  for (std::byte& byte : packed) byte = static_cast<std::byte>(random());
  if (format_ == Format::bf16) {
    for (std::uint32_t bits = 0; bits < 65536; ++bits) std::memcpy(packed.data() + std::size_t{2} * bits, &bits, 2);
  }
  // Second-level numbers of nf4 are no NaN; some large enough that scales overflow.
  if (format_ == Format::nf4) {
    const std::size_t numbers = 1 + (kElements + 64 * 256 - 1) / (64 * 256);
    const std::size_t begin = packed.size() - (numbers * 4 + 63) / 64 * 64;
    constexpr float kNumbers[] = {0.1F, 0.5F, 3e38F, 1e-42F, -0.0F, 1e-3F};
    const float offset = 2e38F;
    for (std::size_t i = 0; i < numbers; ++i) std::memcpy(packed.data() + begin + 4 * i, i == 0 ? &offset : &kNumbers[i % std::size(kNumbers)], 4);
    const Tensor large(format_, kElements, packed);
    large.check(0, kElements, dtype_);
    large.check(1, kElements - 1, dtype_);
    const float small = 0.05F;
    std::memcpy(packed.data() + begin, &small, 4);
  }
  const Tensor tensor(format_, kElements, packed);
  place::in_each_order([&] { tensor.check(0, kElements, dtype_); });
  tensor.check(1, kElements - 1, dtype_);  // no groups
}

TEST_P(Dequantise, RefusesWhatTheTensorDoesNotHave) {
  DequantiseCall call{static_cast<PackedFormat>(format_), nullptr, 100, 0, 0, nullptr, dtype_};
  const auto with = [&](std::int64_t first, std::int64_t count) {
    call.first = first;
    call.count = count;
    return dequantise(call, nullptr);
  };
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(with(100, 0), cudaSuccess);
  for (const auto& [first, count] : {std::pair<std::int64_t, std::int64_t>{0, 101}, {100, 1}, {101, 0}, {-1, 1}, {0, -1}, {1, kMost}, {kMost, 1}}) {
    EXPECT_EQ(with(first, count), cudaErrorInvalidValue) << first << " " << count;
  }
  call.first = call.count = 0;
  call.dtype = Dtype::fp16;
  EXPECT_EQ(dequantise(call, nullptr), cudaErrorInvalidValue);
  const GatherCall too_large{static_cast<PackedFormat>(format_), nullptr, kMost / 2, 3, nullptr, 1, nullptr, dtype_};
  EXPECT_EQ(gather(too_large, nullptr), cudaErrorInvalidValue);
}

// Of ids that the table lacks: the NaN that the launcher promises.
Bytes nan_row(std::size_t columns, Dtype dtype) {
  Bytes bytes(columns * width(dtype));
  const std::uint32_t bits = dtype == Dtype::fp32 ? 0x7fc00000U : 0x7fc0U;
  for (std::size_t c = 0; c < columns; ++c) std::memcpy(bytes.data() + c * width(dtype), &bits, width(dtype));
  return bytes;
}

TEST_P(Dequantise, GathersRowsByIdsAndMakesRowsOfIdsOutsideNan) {
  constexpr std::int64_t kRows = 37;
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  const std::vector<std::int64_t> ids{3, 0, 36, 3, -1, 35, 37, kMost, 1, -kMost - 1, 17, std::int64_t{1} << 40, 2};
  const auto ids_on_device = place::on_device(ids);
  for (const std::int64_t columns : {1, 7, 12, 64, 200, 2304}) {
    const auto row = static_cast<std::uint64_t>(columns);
    const Tensor table(format_, kRows * row, packed_values(format_, kRows * row, 5));
    Bytes want;
    for (const std::int64_t id : ids) {
      const bool known = id >= 0 && id < kRows;
      const Bytes one = known ? wanted(format_, table.packed, table.elements, static_cast<std::uint64_t>(id) * row, row, dtype_) : nan_row(row, dtype_);
      want.insert(want.end(), one.begin(), one.end());
    }
    for (const std::size_t offset : {0, 1}) {
      place::in_each_order([&] {
        const Bytes got = written(want.size(), offset * width(dtype_), [&](void* out) {
          return gather({static_cast<PackedFormat>(format_), table.device.get(), kRows, columns, reinterpret_cast<const std::int64_t*>(ids_on_device.get()),
                         static_cast<std::int64_t>(ids.size()), out, dtype_},
                        nullptr);
        });
        expect_bytes(got, want, dtype_, std::string("gathered ") + quant::name_of(format_) + ", " + std::to_string(columns) + " columns");
      });
    }
  }
}

TEST_P(Dequantise, AnEmptyTableHasNoRowButNan) {
  const auto ids = place::on_device(std::vector<std::int64_t>{0});
  const Bytes got = written(3 * width(dtype_), 0, [&](void* out) {
    return gather({static_cast<PackedFormat>(format_), nullptr, 0, 3, reinterpret_cast<const std::int64_t*>(ids.get()), 1, out, dtype_}, nullptr);
  });
  expect_bytes(got, nan_row(3, dtype_), dtype_, "an empty table");
}

INSTANTIATE_TEST_SUITE_P(Formats, Dequantise, testing::Combine(testing::ValuesIn(quant::test::kFormats), testing::Values(Dtype::fp32, Dtype::bf16)),
                         [](const auto& of) { return std::string(quant::name_of(std::get<0>(of.param))) + "_" + word_of(std::get<1>(of.param)); });

}  // namespace
}  // namespace gsnake::kernels
