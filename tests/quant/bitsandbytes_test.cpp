// nf4 beside bitsandbytes: fixtures/nf4.bin holds what its CPU path packed and read back (make_fixtures.py).
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "quant/codes.h"
#include "quant/nf4.h"
#include "quant/support.h"

namespace gsnake::quant::test {
namespace {

struct Case {
  std::string name;
  std::vector<float> values;
  std::vector<std::byte> codes;
  std::vector<float> absmax;
  std::vector<std::byte> absmax_codes;
  float offset;
  std::vector<float> groups;
  std::vector<float> fp32;
  std::vector<std::uint16_t> bf16;
};

struct Fixtures {
  std::vector<float> map;
  std::vector<float> numbers;  // in groups of 256
  std::vector<std::byte> number_codes;
  std::vector<float> number_groups;
  std::vector<Case> cases;
};

class Reader {
 public:
  explicit Reader(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
  }
  template <class T>
  std::vector<T> array(std::size_t count) {
    if (count * sizeof(T) > bytes_.size() - at_) throw std::runtime_error("fixtures/nf4.bin ends early");
    std::vector<T> values(count);
    if (count > 0) std::memcpy(values.data(), bytes_.data() + at_, count * sizeof(T));
    at_ += count * sizeof(T);
    return values;
  }
  std::uint32_t number() { return array<std::uint32_t>(1)[0]; }
  std::string text(std::size_t size) {
    const auto letters = array<char>(size);
    return {letters.begin(), letters.end()};
  }

 private:
  std::vector<char> bytes_;
  std::size_t at_ = 0;
};

const Fixtures& fixtures() {
  static const Fixtures all = [] {
    Reader reader(GSNAKE_QUANT_FIXTURES "/nf4.bin");
    if (reader.text(8) != "NF4FIX01") throw std::runtime_error("fixtures/nf4.bin is of another kind");
    Fixtures read;
    read.map = reader.array<float>(256);
    const std::uint32_t number_groups = reader.number();
    read.numbers = reader.array<float>(std::size_t{256} * number_groups);
    read.number_codes = reader.array<std::byte>(read.numbers.size());
    read.number_groups = reader.array<float>(number_groups);
    for (std::uint32_t left = reader.number(); left > 0; --left) {
      Case one;
      one.name = reader.text(reader.number());
      const std::uint32_t elements = reader.number();
      const std::uint32_t blocks = reader.number();
      const std::uint32_t groups = reader.number();
      one.values = reader.array<float>(elements);
      one.codes = reader.array<std::byte>((elements + 1) / 2);
      one.absmax = reader.array<float>(blocks);
      one.absmax_codes = reader.array<std::byte>(blocks);
      one.offset = reader.array<float>(1)[0];
      one.groups = reader.array<float>(groups);
      one.fp32 = reader.array<float>(elements);
      one.bf16 = reader.array<std::uint16_t>(elements);
      read.cases.push_back(std::move(one));
    }
    return read;
  }();
  return all;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

std::uint64_t aligned(std::uint64_t bytes) { return (bytes + 63) / 64 * 64; }

// bitsandbytes' state in our sections.
std::vector<std::byte> packed_of(const Case& one) {
  std::vector<std::byte> packed(packed_bytes(Format::nf4, one.values.size()));
  const std::uint64_t scales = aligned(one.codes.size());
  const std::uint64_t second = scales + aligned(one.absmax_codes.size());
  std::memcpy(packed.data(), one.codes.data(), one.codes.size());
  std::memcpy(packed.data() + scales, one.absmax_codes.data(), one.absmax_codes.size());
  std::memcpy(packed.data() + second, &one.offset, 4);
  std::memcpy(packed.data() + second + 4, one.groups.data(), 4 * one.groups.size());
  return packed;
}

class Bitsandbytes : public EveryTarget {};

TEST(BitsandbytesTables, TheDynamicMapIsItsOwn) {
  EXPECT_TRUE(same_bits(fixtures().map, std::vector<float>(kDynamicMap.begin(), kDynamicMap.end())));
  EXPECT_EQ(fixtures().cases.size(), 23U);
}

void expect_quantised(std::span<const float> absmax, float offset, const std::vector<std::byte>& codes, const std::vector<float>& groups) {
  std::vector<std::byte> our_codes(absmax.size());
  std::vector<float> our_groups;
  for (std::size_t at = 0; at < absmax.size(); at += 256) {
    const auto some = absmax.subspan(at, std::min<std::size_t>(256, absmax.size() - at));
    our_groups.push_back(quantise_absmax(some, offset, reinterpret_cast<std::uint8_t*>(our_codes.data()) + at));
  }
  EXPECT_TRUE(same_bits(our_groups, groups));
  for (std::size_t i = 0; i < codes.size(); ++i) EXPECT_EQ(our_codes[i], codes[i]) << i << ": " << absmax[i];
}

TEST(BitsandbytesTables, BlocksScalesAreQuantisedAlikeForTheSameOffset) {
  for (const Case& one : fixtures().cases) {
    SCOPED_TRACE(one.name);
    expect_quantised(one.absmax, one.offset, one.absmax_codes, one.groups);
  }
  ASSERT_EQ(fixtures().number_groups.size(), 13U);
  expect_quantised(fixtures().numbers, 0.0F, fixtures().number_codes, fixtures().number_groups);
}

TEST_P(Bitsandbytes, ItsPackedTensorsReadBackToItsValues) {
  for (const Case& one : fixtures().cases) {
    const std::vector<std::byte> packed = packed_of(one);
    EXPECT_TRUE(same_bits(unpack<float>(Format::nf4, packed, one.values.size()), one.fp32)) << one.name;
    EXPECT_TRUE(same_bits(unpack<std::uint16_t>(Format::nf4, packed, one.values.size()), one.bf16)) << one.name;
  }
}

// The offset is a mean, whose last bit depends on the order of the sum; where it comes out the same, so does every byte.
TEST_P(Bitsandbytes, TensorsArePackedToItsCodes) {
  std::size_t equal_offsets = 0;
  for (const Case& one : fixtures().cases) {
    const std::vector<std::byte> packed = pack(Format::nf4, one.values);
    const std::vector<std::byte> expected = packed_of(one);
    EXPECT_EQ(std::memcmp(packed.data(), one.codes.data(), one.codes.size()), 0) << one.name;
    const auto offset = number_at<float>(packed, aligned(one.codes.size()) + aligned(one.absmax_codes.size()));
    EXPECT_NEAR(offset, one.offset, one.offset * 1e-6F) << one.name;
    if (offset != one.offset) continue;
    ++equal_offsets;
    EXPECT_TRUE(same_bits(packed, expected)) << one.name;
  }
  EXPECT_GE(equal_offsets, 12U);
}

INSTANTIATE_TEST_SUITE_P(Targets, Bitsandbytes, ::testing::ValuesIn(supported_targets()), target_name);

}  // namespace
}  // namespace gsnake::quant::test
