#include "core/bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "greedysnake/error.h"

namespace gsnake::core {
namespace {

std::string refusal(const std::string& text) {
  try {
    parse_bytes(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.what();
  }
  return {};
}

TEST(ParseBytes, ReadsBinaryAndDecimalUnits) {
  EXPECT_EQ(parse_bytes("0"), 0U);
  EXPECT_EQ(parse_bytes("4096"), 4096U);
  EXPECT_EQ(parse_bytes("17 B"), 17U);
  EXPECT_EQ(parse_bytes("3 kB"), 3000U);
  EXPECT_EQ(parse_bytes("3 KiB"), 3072U);
  EXPECT_EQ(parse_bytes("512MiB"), 512ULL << 20);
  EXPECT_EQ(parse_bytes("4 GiB"), 4ULL << 30);
  EXPECT_EQ(parse_bytes("2TB"), 2'000'000'000'000ULL);
  EXPECT_EQ(parse_bytes("  1 PiB "), 1ULL << 50);
}

TEST(ParseBytes, ReadsFractionsExactly) {
  EXPECT_EQ(parse_bytes("1.5 GB"), 1'500'000'000U);
  EXPECT_EQ(parse_bytes("0.5KiB"), 512U);
  EXPECT_EQ(parse_bytes("0.1 GiB"), 107'374'182U);
  EXPECT_EQ(parse_bytes("1.000000000000001 PB"), 1'000'000'000'000'001ULL);
  EXPECT_EQ(parse_bytes("1.99999999999999999999999999999999 KiB"), 2047U);
}

TEST(ParseBytes, ReachesTheLargestQuantityAndRefusesOneMore) {
  EXPECT_EQ(parse_bytes("18446744073709551615"), std::numeric_limits<std::uint64_t>::max());
  EXPECT_THAT(refusal("18446744073709551616"), testing::HasSubstr("64 bits"));
  EXPECT_EQ(parse_bytes("16383.99 PiB") >> 50, 16383U);
  EXPECT_THAT(refusal("16384 PiB"), testing::HasSubstr("64 bits"));
  EXPECT_THAT(refusal("99999999999999999999999 B"), testing::HasSubstr("64 bits"));
}

TEST(ParseBytes, RefusesWhatIsNoQuantityAndShowsIt) {
  for (const std::string text : {"",      " ",     "GiB", "-1",   "-4 GiB", "+4",        ".5 GiB", "1.",   "1.GiB",    "1.5", "1.5 B",
                                 "4 gib", "4 Gib", "4G",  "4 KB", "1e9",    "4 GiB GiB", "4,5 GB", "0x10", "1.2.3 GB", "nan", "4\tGiB"}) {
    EXPECT_THAT(refusal(text), testing::HasSubstr("'" + text + "'")) << text;
  }
}

TEST(FormatBytes, ChoosesTheUnitThatKeepsFourDigits) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.00 KiB");
  EXPECT_EQ(format_bytes(512ULL << 20), "512.00 MiB");
  EXPECT_EQ(format_bytes(4ULL << 30), "4.00 GiB");
  EXPECT_EQ(format_bytes((1ULL << 20) - 1), "1.00 MiB");
  EXPECT_EQ(format_bytes(std::numeric_limits<std::uint64_t>::max()), "16.00 EiB");
}

TEST(RoundUp, KeepsMultiplesAndRaisesTheRest) {
  EXPECT_EQ(round_up(0, 512), 0U);
  EXPECT_EQ(round_up(1, 512), 512U);
  EXPECT_EQ(round_up(512, 512), 512U);
  EXPECT_EQ(ceil_div(1025, 512), 3U);
}

}  // namespace
}  // namespace gsnake::core
