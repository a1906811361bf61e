#include "data/identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/open.h"
#include "temp_files.h"

namespace gsnake::data {
namespace {

using testing::HasSubstr;

class IdentityTest : public test::TempFiles {
 protected:
  static nlohmann::json of(const std::vector<DataFile>& files, std::int64_t length = 4) {
    Config config;
    config.model.vocab = 65536;
    config.train.sequence_length = length;
    config.data.train = files;
    return identity_of(open_training(config));
  }
};

TEST_F(IdentityTest, TheSameContentIsTheSameDataWhereverItLies) {
  const std::string a = text("a.txt", "some text to train on");
  std::filesystem::create_directory(folder_ / "elsewhere");
  const std::string b = text("elsewhere/b.txt", "some text to train on");
  EXPECT_EQ(difference(of({a}), of({b})), "");
  EXPECT_EQ(difference(of({megatron("m", {{1, 2, 3, 4, 5}, {6}})}), of({megatron("elsewhere/m", {{1, 2, 3, 4, 5}, {6}})})), "");
}

TEST_F(IdentityTest, OtherContentUnderTheSameNameIsOtherData) {
  const std::string path = text("a.txt", "some text to train on");
  const nlohmann::json before = of({path});
  text("a.txt", "some text to train oN");
  EXPECT_THAT(difference(before, of({path})), HasSubstr(path + " (21 tokens) has other content than it had (21 tokens)"));
  text("a.txt", "some text to train on.");
  EXPECT_THAT(difference(before, of({path})), HasSubstr("(22 tokens)"));
  text("a.txt", "some text to train on");
  EXPECT_EQ(difference(before, of({path})), "");
  EXPECT_THAT(difference(before, of({path, path})), HasSubstr("it has 2 files where it had 1"));
}

TEST_F(IdentityTest, OrderDocumentsAndMasksAreData) {
  const std::string a = text("a.txt", "aaaaaaaaaa");
  const std::string b = text("b.txt", "bbbbbbbbbb");
  EXPECT_THAT(difference(of({a, b}), of({b, a})), HasSubstr("other content"));
  // The same .bin cut into other documents.
  const nlohmann::json before = of({megatron("m", {{1, 2, 3, 4, 5}, {6, 7}})});
  EXPECT_THAT(difference(before, of({megatron("m", {{1, 2}, {3, 4, 5, 6, 7}})})), HasSubstr("other content"));
  DataFile masked(a);
  masked.mask = text("a.mask", std::string(10, '\1'));
  const nlohmann::json all = of({masked});
  text("a.mask", std::string(9, '\1') + '\0');
  EXPECT_THAT(difference(all, of({masked})), HasSubstr("other content"));
  EXPECT_THAT(difference(all, of({a})), HasSubstr("other content"));
}

// Of a large file some pieces are looked at: its ends, and places all over it.
TEST_F(IdentityTest, AnyStretchOfALargeFileThatIsOtherIsSeen) {
  constexpr std::uintmax_t kBytes = 200ULL << 20;
  const std::string path = text("large.bin", "");
  std::filesystem::resize_file(path, kBytes);
  const nlohmann::json before = of({path});
  const auto changed_at = [&](std::uint64_t offset, std::size_t bytes) {
    std::fstream(path, std::ios::binary | std::ios::in | std::ios::out).seekp(static_cast<std::streamoff>(offset)).write(std::string(bytes, '\1').c_str(), static_cast<std::streamsize>(bytes));
    const bool seen = !difference(before, of({path})).empty();
    std::filesystem::resize_file(path, 0);
    std::filesystem::resize_file(path, kBytes);
    return seen;
  };
  EXPECT_TRUE(changed_at(0, 2));
  EXPECT_TRUE(changed_at(kBytes - 2, 2));
  constexpr std::size_t kStretch = 5 << 20;  // as far as pieces lie apart at the most, and their length
  for (const std::uint64_t offset : {30ULL << 20, 77ULL << 20, 123ULL << 20, 190ULL << 20}) EXPECT_TRUE(changed_at(offset, kStretch)) << offset;
}

}  // namespace
}  // namespace gsnake::data
