#include "data/megatron.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>


#include "data/token_source.h"
#include "greedysnake/error.h"
#include "temp_files.h"

namespace gsnake::data {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class MegatronTest : public test::TempFiles {
 protected:
  static std::vector<std::int64_t> all(const std::string& path, std::int64_t vocab = 100000) {
    const TokenSource source({path}, vocab, -1, Access::sequential);
    std::vector<std::int64_t> ids(static_cast<std::size_t>(source.size()));
    source.read(0, ids);
    return ids;
  }

  // What opening says after `bytes` were put at `offset` of the index of two documents of 3 and 2 tokens.
  std::string refusal_with(std::size_t offset, const std::string& bytes) {
    const auto bin = megatron("lying", {{1, 2, 3}, {4, 5}});
    auto index = read(folder_ / "lying.idx");
    text("lying.idx", index.replace(offset, bytes.size(), bytes));
    return refusal([&] { all(bin); });
  }

  static std::string read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  static std::vector<std::vector<std::int64_t>> documents(const TokenFile& file, std::int64_t first, std::size_t count) {
    std::vector<Document> read(count);
    file.read_documents(first, read);
    std::vector<std::vector<std::int64_t>> pairs;
    for (const auto& document : read) pairs.push_back({document.first, document.tokens});
    return pairs;
  }
};

TEST_F(MegatronTest, TokensHaveTheWidthThatTheIndexSays) {
  EXPECT_THAT(all(megatron("a", {{1, 70000}, {3}}, 4, 4)), ElementsAre(1, 70000, 3));
  EXPECT_THAT(all(megatron("b", {{1, 65535}}, 8, 2)), ElementsAre(1, 65535));
  EXPECT_THAT(all(megatron("c", {{255}}, 1, 1)), ElementsAre(255));
  EXPECT_THAT(all(megatron("d", {{32767}}, 3, 2)), ElementsAre(32767));
  EXPECT_THAT(all(megatron("e", {{99999}}, 5, 8)), ElementsAre(99999));
}

TEST_F(MegatronTest, APairMayBeNamedAsMegatronDoes) {
  megatron("corpus_text_document", {{1, 2}});
  EXPECT_THAT(all((folder_ / "corpus_text_document").string()), ElementsAre(1, 2));
  EXPECT_THAT(all((folder_ / "corpus_text_document.idx").string()), ElementsAre(1, 2));
}

TEST_F(MegatronTest, TellsItsDocumentsAlsoEmptyOnesAndThoseOfManySequences) {
  const auto plain = open_token_file(megatron("a", {{1, 2, 3}, {}, {4}, {5, 6}}), 100, Access::random);
  EXPECT_EQ(plain->documents(), 4);
  EXPECT_THAT(documents(*plain, 0, 4), ElementsAre(ElementsAre(0, 3), ElementsAre(3, 0), ElementsAre(3, 1), ElementsAre(4, 2)));
  EXPECT_THAT(documents(*plain, 3, 1), ElementsAre(ElementsAre(4, 2)));
  // Ten sequences of one token, in two documents of 9 and 1.
  std::vector<std::vector<std::int64_t>> ones(10, {7});
  const auto bin = megatron("many", ones);
  auto index = read(folder_ / "many.idx");
  index = index.substr(0, 26) + little_endian({3}, 8) + index.substr(34, 10 * 12) + little_endian({0, 9, 10}, 8);
  text("many.idx", index);
  const auto many = open_token_file(bin, 100, Access::random);
  EXPECT_THAT(documents(*many, 0, 2), ElementsAre(ElementsAre(0, 9), ElementsAre(9, 1)));
  EXPECT_THAT(documents(*many, 1, 1), ElementsAre(ElementsAre(9, 1)));
}

TEST_F(MegatronTest, RefusesATokenOutsideTheVocabularyWithFileAndOffset) {
  const auto path = megatron("a", {{1, 2}, {-3}});
  EXPECT_THAT(refusal([&] { all(path); }), AllOf(HasSubstr("a.bin"), HasSubstr("token id -3 at offset 8 is not")));
  EXPECT_THAT(refusal([&] { all(path, 2); }), HasSubstr("token id 2 at offset 4 is not below model.vocab = 2"));
}

TEST_F(MegatronTest, RefusesLyingIndicesWithFileAndOffset) {
  const auto huge = little_endian({0x1fffffffffffffff}, 8);
  EXPECT_THAT(refusal_with(0, "X"), AllOf(HasSubstr("lying.idx"), HasSubstr("offset 0")));
  EXPECT_THAT(refusal_with(9, "\2"), HasSubstr("offset 9: version 2"));
  EXPECT_THAT(refusal_with(17, "\6"), HasSubstr("offset 17: type 6"));
  EXPECT_THAT(refusal_with(17, "\xff"), HasSubstr("offset 17: type 255"));
  EXPECT_THAT(refusal_with(18, little_endian({3}, 8)), HasSubstr("offset 18: 3 sequences"));
  EXPECT_THAT(refusal_with(18, huge), HasSubstr("offset 18"));
  EXPECT_THAT(refusal_with(18, little_endian({-1}, 8)), HasSubstr("offset 18"));
  EXPECT_THAT(refusal_with(26, huge), HasSubstr("offset 18"));
  EXPECT_THAT(refusal_with(34, little_endian({2}, 4)), HasSubstr("offset 50: sequence 1 begins at 12"));
  EXPECT_THAT(refusal_with(34, little_endian({-1}, 4)), HasSubstr("offset 34: sequence 0 of -1 tokens"));
  EXPECT_THAT(refusal_with(34, little_endian({0x7fffffff}, 4)), HasSubstr("offset 34: sequence 0 of 2147483647 tokens"));
  EXPECT_THAT(refusal_with(38, little_endian({1}, 4)), HasSubstr("hold 16 B, but"));
  EXPECT_THAT(refusal_with(50, huge), HasSubstr("offset 50"));
  EXPECT_THAT(refusal_with(58, little_endian({1}, 8)), HasSubstr("offset 58: document 0"));
  EXPECT_THAT(refusal_with(66, little_endian({3}, 8)), HasSubstr("offset 66: document 1"));
  EXPECT_THAT(refusal_with(74, little_endian({1}, 8)), HasSubstr("offset 26"));
}

TEST_F(MegatronTest, RefusesFilesThatWereCutShort) {
  const auto bin = megatron("a", {{1, 2, 3}, {4, 5}});
  std::filesystem::resize_file(bin, 19);
  EXPECT_THAT(refusal([&] { all(bin); }), HasSubstr("which has 19 B"));
  const auto other = megatron("b", {{1, 2, 3}, {4, 5}});
  for (const auto size : {0, 33, 34, 40, 81}) {
    std::filesystem::resize_file(folder_ / "b.idx", static_cast<std::uintmax_t>(size));
    EXPECT_THAT(refusal([&] { all(other); }), HasSubstr("b.idx")) << size;
    megatron("b", {{1, 2, 3}, {4, 5}});
  }
}

}  // namespace
}  // namespace gsnake::data
