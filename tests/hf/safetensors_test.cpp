// Files that lie are refused with the tensor and the offset.
#include "hf/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "greedysnake/error.h"

namespace gsnake::hf {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::string file_of(const std::string& header, std::size_t data_bytes, std::uint64_t length = ~0ULL) {
  if (length == ~0ULL) length = header.size();
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(length >> (8 * i) & 0xFFU);
  return file + header + std::string(data_bytes, 'x');
}

std::vector<Tensor> parse(const std::string& file) { return parse_safetensors("m.safetensors", std::as_bytes(std::span(file))); }

std::string refusal(const std::string& file) {
  try {
    parse(file);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "accepted";
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

TEST(Safetensors, GivesTensorsByOffset) {
  const std::string header =
      "{\"__metadata__\":{\"format\":\"pt\"}," + entry("b", "F32", "[2,3]", "[4,28]") + "," + entry("a", "BF16", "[2]", "[0,4]") + "}";
  const std::vector<Tensor> tensors = parse(file_of(header, 28));
  ASSERT_EQ(tensors.size(), 2U);
  EXPECT_EQ(tensors[0].name, "a");
  EXPECT_EQ(tensors[0].known_dtype(), Dtype::bf16);
  EXPECT_EQ(tensors[1].offset, 8 + header.size() + 4);
  EXPECT_EQ(tensors[1].bytes, 24U);
  EXPECT_THAT(tensors[1].shape, ElementsAre(2, 3));
}

TEST(Safetensors, TakesScalarsEmptyTensorsAndForeignDtypes) {
  const std::string header =
      "{" + entry("s", "F32", "[]", "[0,4]") + "," + entry("e", "F32", "[0,7]", "[4,4]") + "," + entry("i", "I64", "[1]", "[4,12]") + "}";
  const std::vector<Tensor> tensors = parse(file_of(header, 12));
  ASSERT_EQ(tensors.size(), 3U);
  EXPECT_EQ(tensors[2].known_dtype(), std::nullopt);
}

TEST(Safetensors, RefusesAHeaderThatIsNotThere) {
  EXPECT_THAT(refusal("1234567"), HasSubstr("7 bytes"));
  EXPECT_THAT(refusal(file_of("{}", 0, 3)), AllOf(HasSubstr("offset 0 is 3"), HasSubstr("truncated")));
  EXPECT_THAT(refusal(file_of("{}", 0, ~0ULL - 1)), HasSubstr("truncated"));
  EXPECT_THAT(refusal(file_of("[]", 0)), HasSubstr("no object"));
  EXPECT_THAT(refusal(file_of("{\"a\":", 0)), HasSubstr("not valid JSON at byte"));
  EXPECT_THAT(refusal(file_of(std::string(70, '['), 0)), HasSubstr("nested more than 64 deep"));
  EXPECT_THAT(refusal(file_of("{\"a\":1e999}", 0)), HasSubstr("out of range"));
}

TEST(Safetensors, RefusesTensorsThatOverlapLeaveHolesOrEndElsewhere) {
  const auto two = [](const char* a, const char* b, std::size_t bytes) {
    return refusal(file_of("{" + entry("a", "F32", "[1]", a) + "," + entry("b", "F32", "[1]", b) + "}", bytes));
  };
  EXPECT_THAT(two("[0,4]", "[2,6]", 6), AllOf(HasSubstr("tensor b at offset"), HasSubstr("overlaps tensor a")));
  EXPECT_THAT(two("[0,4]", "[0,4]", 4), HasSubstr("overlaps"));
  EXPECT_THAT(two("[0,4]", "[8,12]", 12), AllOf(HasSubstr("no tensor holds the bytes at offset"), HasSubstr("before tensor b")));
  EXPECT_THAT(two("[4,8]", "[8,12]", 12), HasSubstr("before tensor a"));
  EXPECT_THAT(two("[0,4]", "[4,8]", 9), HasSubstr("no tensor holds the bytes from offset"));
  EXPECT_THAT(two("[0,4]", "[4,8]", 6), AllOf(HasSubstr("tensor b"), HasSubstr("behind offset")));
}

TEST(Safetensors, RefusesShapesAndOffsetsThatLie) {
  const auto one = [](const char* dtype, const char* shape, const char* offsets) {
    return refusal(file_of("{" + entry("w", dtype, shape, offsets) + "}", 8));
  };
  EXPECT_THAT(one("F32", "[3]", "[0,8]"), AllOf(HasSubstr("tensor w: at offset"), HasSubstr("(3) of F32 needs 12")));
  EXPECT_THAT(one("F16", "[2]", "[0,8]"), HasSubstr("needs 4"));
  EXPECT_THAT(one("F32", "[4294967296,4294967296]", "[0,8]"), HasSubstr("overflows"));
  EXPECT_THAT(one("F32", "[4611686018427387905]", "[0,8]"), HasSubstr("overflows"));
  EXPECT_THAT(one("F32", "[-2]", "[0,8]"), HasSubstr("something else than sizes"));
  EXPECT_THAT(one("F32", "[2.0]", "[0,8]"), HasSubstr("something else than sizes"));
  EXPECT_THAT(one("F32", "2", "[0,8]"), HasSubstr("no list"));
  EXPECT_THAT(one("F32", "[2]", "[8,0]"), HasSubstr("reversed"));
  EXPECT_THAT(one("F32", "[2]", "[0,18446744073709551615]"), HasSubstr("behind offset"));
  EXPECT_THAT(one("F32", "[2]", "[0]"), HasSubstr("no two offsets"));
  EXPECT_THAT(one("F99", "[2]", "[0,8]"), HasSubstr("dtype F99 is not known"));
  EXPECT_THAT(refusal(file_of("{\"w\":7}", 0)), HasSubstr("no object"));
  EXPECT_THAT(refusal(file_of("{\"w\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4)), HasSubstr("lacks data_offsets"));
}

TEST(Safetensors, RefusesATensorThatIsNamedTwice) {
  EXPECT_THAT(refusal(file_of("{" + entry("a", "F32", "[1]", "[0,4]") + "," + entry("a", "F32", "[1]", "[4,8]") + "}", 8)),
              HasSubstr("\"a\" occurs twice"));
}

TEST(Safetensors, NamesThatAreNoTextFitOneLine) {
  const std::string message = refusal(file_of("{\"a\\nb" + std::string(500, 'c') + "\":1}", 0));
  EXPECT_LT(message.size(), 300U);
  EXPECT_THAT(message, HasSubstr("a\\nb"));
}

TEST(Safetensors, AHeaderThatWasMadeIsRead) {
  std::vector<Tensor> tensors(2);
  tensors[0] = {"model.a", "F32", {3, 5}, 0, 0};
  tensors[1] = {"b", "BF16", {7}, 0, 0};
  const std::string header = make_safetensors_header(tensors);
  EXPECT_EQ(header.size() % 8, 0U);
  const std::vector<Tensor> read = parse(header + std::string(60 + 14, '\0'));
  ASSERT_EQ(read.size(), 2U);
  for (std::size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].name, tensors[i].name);
    EXPECT_EQ(read[i].shape, tensors[i].shape);
    EXPECT_EQ(read[i].offset, tensors[i].offset);
  }
}

}  // namespace
}  // namespace gsnake::hf
