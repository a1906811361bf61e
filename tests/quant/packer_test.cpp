// How a tensor comes in and goes out, what is refused, and that reading allocates nothing.
#include <atomic>
#include <cstdlib>
#include <functional>
#include <new>

#include "greedysnake/error.h"
#include "quant/support.h"

namespace {
std::atomic<std::size_t> allocations{0};
}

// Not inlined, or gcc takes malloc() and delete for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t /*size*/) noexcept { std::free(memory); }

namespace gsnake::quant::test {
namespace {

std::string error_of(ErrorKind kind, const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

TEST(Names, AreReadBack) {
  for (const Format format : kFormats) EXPECT_EQ(format_of(name_of(format)), format);
  EXPECT_EQ(format_of("fp4"), std::nullopt);
  EXPECT_EQ(format_of(""), std::nullopt);
}

TEST(PackedBytes, AreWholeSectionsOf64) {
  EXPECT_EQ(packed_bytes(Format::fp32, 17), 128U);
  EXPECT_EQ(packed_bytes(Format::bf16, 32), 64U);
  EXPECT_EQ(packed_bytes(Format::int8, 65), 128U + 64U);
  EXPECT_EQ(packed_bytes(Format::nf4, 129), 128U + 64U + 64U);
  EXPECT_EQ(packed_bytes(Format::mxfp4, 1), 64U + 64U);
  EXPECT_EQ(packed_bytes(Format::nf4, std::uint64_t{1} << 40U),
            (std::uint64_t{1} << 39U) + (std::uint64_t{1} << 34U) + (std::uint64_t{1} << 28U) + 64U);
  for (const Format format : kFormats) EXPECT_EQ(packed_bytes(format, 0), 0U);
}

TEST(Packer, GivesTheSameBytesForEveryWayToCutATensorAndAnyThreads) {
  const std::vector<float> values = adversarial_values(600007, 21);
  for (const Format format : kFormats) {
    const auto whole = pack(format, values);
    for (const std::size_t piece : {std::size_t{1021}, std::size_t{131072}, std::size_t{131073}}) {
      EXPECT_TRUE(pack(format, values, piece) == whole) << name_of(format) << ' ' << piece;
    }
    for (const unsigned threads : {2U, 3U, 7U}) EXPECT_TRUE(pack(format, values, values.size(), threads) == whole) << name_of(format) << ", by " << threads;
    EXPECT_TRUE(pack(format, std::span(values).first(130), 1) == pack(format, std::span(values).first(130))) << name_of(format);
  }
}

TEST(Packer, FillsEverySectionUpWithZeros) {
  const std::vector<float> values(3, 1.0F);
  const auto nf4 = pack(Format::nf4, values);
  EXPECT_EQ(nf4[1], std::byte{0xf7});  // the last element, and a zero
  EXPECT_TRUE(std::all_of(nf4.begin() + 2, nf4.begin() + 64, [](std::byte b) { return b == std::byte{0}; }));
  const auto mxfp4 = pack(Format::mxfp4, values);
  EXPECT_EQ(mxfp4[1], std::byte{0x06});
  EXPECT_TRUE(std::all_of(mxfp4.begin() + 65, mxfp4.end(), [](std::byte b) { return b == std::byte{0}; }));
}

TEST(Packer, KeepsZerosZero) {
  std::vector<float> values = normal_values(64 * 5, 1.0F, 2);
  std::fill(values.begin() + 64, values.begin() + 256, 0.0F);
  for (const Format format : kFormats) {
    const auto read = unpack<float>(format, pack(format, values), values.size());
    EXPECT_TRUE(std::all_of(read.begin() + 64, read.begin() + 256, [](float value) { return value == 0.0F; })) << name_of(format);
  }
  EXPECT_TRUE(pack(Format::nf4, {}).empty());
}

// More blocks than are held back at once: every one has a scale of its own.
TEST(Packer, Nf4ScalesOfALongTensorGoToTheirBlocks) {
  std::vector<float> values(64 * (131072 + 300) + 5);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(1 + i / 64 % 7);
  const auto read = unpack<float>(Format::nf4, pack(Format::nf4, values), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(read[i], values[i], 0.03F) << i;
}

TEST(Packer, RefusesWhatIsNotFiniteAndNamesTheElement) {
  for (const Format format : kFormats) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
      for (const std::size_t element : {std::size_t{0}, std::size_t{63}, std::size_t{150001}}) {
        std::vector<float> values = normal_values(150002, 1.0F, 1);
        values[element] = bad;
        const std::string message = error_of(ErrorKind::input, [&] {
          Packer packer(format, values.size(), [](std::uint64_t, std::span<const std::byte>) {});
          packer.add(values);
          packer.finish();
        });
        EXPECT_NE(message.find("element " + std::to_string(element) + ","), std::string::npos) << message;
        EXPECT_NE(message.find("not finite"), std::string::npos) << message;
      }
    }
  }
}

TEST(Packer, RefusesForBf16WhatWouldBecomeInfinite) {
  const auto pack_one = [](Format format, float value) {
    Packer packer(format, 1, [](std::uint64_t, std::span<const std::byte>) {});
    packer.add({&value, 1});
    packer.finish();
  };
  pack_one(Format::bf16, std::nextafter(0x1.ffp127F, 0.0F));
  EXPECT_NE(error_of(ErrorKind::input, [&] { pack_one(Format::bf16, -0x1.ffp127F); }).find("element 0"), std::string::npos);
  for (const Format format : {Format::fp32, Format::int8, Format::nf4, Format::mxfp4}) EXPECT_NO_THROW(pack_one(format, 0x1.ffp127F));
}

TEST(Packer, WantsExactlyItsElements) {
  const std::vector<float> values(10, 1.0F);
  Packer packer(Format::nf4, 15, [](std::uint64_t, std::span<const std::byte>) {});
  packer.add(values);
  EXPECT_NE(error_of(ErrorKind::usage, [&] { packer.add(values); }).find("5 more were given"), std::string::npos);
  Packer other(Format::nf4, 15, [](std::uint64_t, std::span<const std::byte>) {});
  other.add(values);
  EXPECT_NE(error_of(ErrorKind::usage, [&] { other.finish(); }).find("only 10 were given"), std::string::npos);
}

TEST(Dequantise, RefusesARangeBeyondTheTensor) {
  const auto packed = pack(Format::int8, normal_values(100, 1.0F, 1));
  std::vector<float> out(10);
  dequantise(Format::int8, packed.data(), 100, 90, std::span(out));
  dequantise(Format::int8, packed.data(), 100, 100, std::span(out).first(0));
  error_of(ErrorKind::usage, [&] { dequantise(Format::int8, packed.data(), 100, 91, std::span(out)); });
  error_of(ErrorKind::usage,
           [&] { dequantise(Format::int8, packed.data(), 100, std::numeric_limits<std::uint64_t>::max(), std::span(out)); });
}

TEST(Dequantise, AllocatesNothing) {
  std::vector<float> fp32(64 * 300 + 3);
  std::vector<std::uint16_t> bf16(fp32.size());
  for (const Format format : kFormats) {
    const auto packed = pack(format, normal_values(fp32.size() + 5, 1.0F, 1));
    const std::size_t before = allocations;
    dequantise(format, packed.data(), fp32.size() + 5, 5, std::span(fp32));
    dequantise(format, packed.data(), fp32.size() + 5, 5, std::span(bf16));
    EXPECT_EQ(allocations, before) << name_of(format);
  }
}

TEST(Target, AnUnknownOneIsRefused) {
  EXPECT_NE(error_of(ErrorKind::usage, [] { force_target("AVX9"); }).find("scalar"), std::string::npos);
  force_target("");
}

}  // namespace
}  // namespace gsnake::quant::test
