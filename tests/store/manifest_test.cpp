#include "store/manifest/manifest.h"

#include <fstream>
#include <sstream>

#include "store_test_support.h"

namespace gsnake::store {
namespace {

using testing::message_of;
using testing::TemporaryDirectory;
using testing::tree;

Manifest sample(std::uint64_t generation = 7) {
  Manifest manifest;
  manifest.run_id = "0123456789abcdef";
  manifest.generation = generation;
  manifest.storage = {{"stripe_weights", {1.0, 0.0625}}, {"paths", {"/a", "/\u00e4\u00f6"}}};
  manifest.training = {{"step", 12345678901234567ULL}, {"loss", 0.1},  {"tiny", 5e-324},
                       {"minus zero", -0.0},           {"whole", 3.0}, {"none", nullptr}};
  return manifest;
}

void write_manifest(const std::string& directory, const Manifest& manifest) {
  stage_manifest(io::kernel_sync(), directory, kManifestName, manifest);
  publish_manifest(io::kernel_sync(), directory, kManifestName);
}

std::string contents(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

void overwrite(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::trunc) << text; }

TEST(Manifest, ReadsBackEveryValueAndLeavesNoTemporaryFile) {
  const TemporaryDirectory directory;
  write_manifest(directory.path(), sample());
  const auto manifest = read_manifest(directory.path());
  ASSERT_TRUE(manifest);
  EXPECT_EQ(manifest->run_id, sample().run_id);
  EXPECT_EQ(manifest->generation, 7U);
  EXPECT_EQ(manifest->storage, sample().storage);
  EXPECT_EQ(manifest->training.dump(), sample().training.dump());
  EXPECT_EQ(tree(directory.path()), std::set<std::string>{"manifest.json"});
}

TEST(Manifest, ReplacesTheOneBefore) {
  const TemporaryDirectory directory;
  write_manifest(directory.path(), sample(1));
  write_manifest(directory.path(), sample(2));
  EXPECT_EQ(read_manifest(directory.path())->generation, 2U);
}

TEST(Manifest, IsAbsentWithoutAFile) {
  const TemporaryDirectory directory;
  EXPECT_FALSE(read_manifest(directory.path()));
  EXPECT_FALSE(read_manifest(directory / "no such folder"));
  EXPECT_FALSE(holds_manifest(directory.path()));
  EXPECT_NO_THROW(remove_manifests(io::kernel_sync(), directory.path()));
}

TEST(Manifest, IsRefusedWhenCutAnywhere) {
  const TemporaryDirectory directory;
  write_manifest(directory.path(), sample());
  const std::string whole = contents(directory / kManifestName);
  for (std::size_t length = 0; length + 2 < whole.size(); ++length) {
    overwrite(directory / kManifestName, whole.substr(0, length));
    const std::string message = message_of(ErrorKind::storage, [&] { read_manifest(directory.path()); });
    ASSERT_NE(message.find(directory / kManifestName), std::string::npos) << message;
  }
  EXPECT_TRUE(holds_manifest(directory.path()));
}

TEST(Manifest, IsRefusedWhenAnyDigitOrLetterIsChanged) {
  const TemporaryDirectory directory;
  write_manifest(directory.path(), sample());
  const std::string whole = contents(directory / kManifestName);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    if (std::isalnum(static_cast<unsigned char>(whole[at])) == 0) continue;
    std::string changed = whole;
    changed[at] = changed[at] == '1' ? '2' : '1';
    overwrite(directory / kManifestName, changed);
    EXPECT_THROW(read_manifest(directory.path()), Error) << "at " << at;
  }
}

TEST(Manifest, IsRefusedWhenItIsSomethingElse) {
  const TemporaryDirectory directory;
  for (const char* text : {"", "null", "[]", "{}", "{\"xxh3_64\": 5}", "{\"run_id\": \"x\"}", "binary \x01\xff"}) {
    overwrite(directory / kManifestName, text);
    message_of(ErrorKind::storage, [&] { read_manifest(directory.path()); });
  }
}

TEST(Manifest, ThatCannotBeWrittenLeavesTheOneBefore) {
  const TemporaryDirectory directory;
  write_manifest(directory.path(), sample(1));
  Manifest unwritable = sample(2);
  unwritable.training["path"] = "not UTF-8: \xff";
  const std::string message = message_of(ErrorKind::storage, [&] { write_manifest(directory.path(), unwritable); });
  EXPECT_NE(message.find("UTF-8"), std::string::npos) << message;
  EXPECT_EQ(read_manifest(directory.path())->generation, 1U);
  std::filesystem::create_directory(directory / "manifest.json.tmp");
  message_of(ErrorKind::storage, [&] { write_manifest(directory.path(), sample(2)); });
  EXPECT_EQ(read_manifest(directory.path())->generation, 1U);
}

TEST(Manifest, NamesTheFolderThatItCannotBeWrittenTo) {
  const TemporaryDirectory directory;
  overwrite(directory / "file", "x");
  const std::string message = message_of(ErrorKind::storage, [&] { write_manifest(directory / "file", sample()); });
  EXPECT_NE(message.find(directory / "file"), std::string::npos) << message;
}

TEST(Manifest, IsGoneAfterRemovalWithItsTemporaryFile) {
  const TemporaryDirectory directory;
  write_manifest(directory.path(), sample());
  overwrite(directory / "manifest.json.tmp", "left by a kill");
  remove_manifests(io::kernel_sync(), directory.path());
  EXPECT_TRUE(tree(directory.path()).empty());
}

}  // namespace
}  // namespace gsnake::store
