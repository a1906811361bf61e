// A folder or a file that is not what its name says is refused with what it is, and what to do.
#include "hf/folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "greedysnake/error.h"
#include "hf/model_config.h"
#include "hf/temp_folder.h"
#include "hf/weights_folder.h"

namespace gsnake::hf {
namespace {

namespace fs = std::filesystem;
using test::TempFolder;
using test::write_file;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

template <typename Body>
std::string refusal_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    return error.what();
  }
  return "accepted";
}
std::string config_refusal(const std::string& folder) {
  return refusal_of([&] { read_model_config(folder); });
}
std::string weights_refusal(const std::string& folder) {
  return refusal_of([&] { const WeightsFolder opened(folder); });
}

TEST(Folder, ThatIsNoneSaysWhatItIs) {
  const TempFolder folder;
  EXPECT_THAT(config_refusal(folder.path()), HasSubstr("it is empty"));
  EXPECT_THAT(config_refusal(folder / "absent"), HasSubstr("there is no such folder"));
  write_file(folder / "config.json", "{}");
  EXPECT_THAT(config_refusal(folder / "config.json"), HasSubstr("it is a file; name the folder"));
  fs::create_symlink("gone", folder / "link");
  EXPECT_THAT(config_refusal(folder / "link"), HasSubstr("it is a link to gone, which is not there"));
}

TEST(Folder, OfACacheNamesTheSnapshotThatIsMeant) {
  const TempFolder folder;
  fs::create_directories(folder / "snapshots/abc");
  EXPECT_THAT(config_refusal(folder.path()), HasSubstr("name a folder in " + (folder / "snapshots") + ": abc"));
  fs::create_directories(folder / "snapshots/def");
  fs::create_directories(folder / "refs");
  write_file(folder / "refs/main", "def\n");
  EXPECT_THAT(config_refusal(folder.path()), HasSubstr("it is the top of a cache; name " + (folder / "snapshots/def")));
}

TEST(Folder, OfAnotherKindIsNamed) {
  const auto holding = [](const std::string& name) {
    const TempFolder folder;
    fs::create_directories(fs::path(folder / name).parent_path());
    write_file(folder / name, "{}");
    return config_refusal(folder.path());
  };
  EXPECT_THAT(holding("adapter_config.json"), HasSubstr("an adapter"));
  EXPECT_THAT(holding("model-q4.gguf"), HasSubstr("GGUF is not read here"));
  EXPECT_THAT(holding("consolidated.safetensors"), HasSubstr("makers' own format"));
  EXPECT_THAT(holding("params.json"), HasSubstr("makers' own format"));
  EXPECT_THAT(holding("checkpoint-500/config.json"), HasSubstr("folders that do: checkpoint-500"));
  EXPECT_THAT(holding("README.md"), HasSubstr("config.json: No such file or directory"));
}

TEST(Folder, LinksThatLeadNowhereAreNamedWithTheirTarget) {
  const TempFolder folder;
  const auto link = [&](const std::string& name) { fs::create_symlink("../../blobs/0123", folder / name); };
  link("config.json");
  EXPECT_THAT(config_refusal(folder.path()), HasSubstr("config.json is a link to ../../blobs/0123, which is not there"));
  link(kSingleName);
  EXPECT_THAT(weights_refusal(folder.path()), HasSubstr("model.safetensors is a link to ../../blobs/0123"));
  fs::remove(folder / kSingleName);
  link(kIndexName);
  EXPECT_THAT(weights_refusal(folder.path()), HasSubstr("model.safetensors.index.json is a link to ../../blobs/0123"));
  fs::remove(folder / kIndexName);
  write_file(folder / kIndexName, R"({"weight_map": {"x": "a.safetensors"}})");
  link("a.safetensors");
  EXPECT_THAT(weights_refusal(folder.path()), HasSubstr("tensor x: its file a.safetensors is a link to ../../blobs/0123"));
}

TEST(Folder, FilesOfAnotherKindAreNamed) {
  const std::string pointer = "version https://git-lfs.example/spec/v1\noid sha256:00\nsize 1\n";
  const TempFolder folder;
  write_file(folder / "config.json", pointer);
  EXPECT_THAT(config_refusal(folder.path()), AllOf(HasSubstr("config.json: it is a Git LFS pointer"), HasSubstr("git lfs pull")));
  write_file(folder / kIndexName, pointer);
  EXPECT_THAT(weights_refusal(folder.path()), HasSubstr("index.json: it is a Git LFS pointer"));
  write_file(folder / kSingleName, pointer);
  EXPECT_THAT(weights_refusal(folder.path()), HasSubstr("model.safetensors: it is a Git LFS pointer"));
  write_file(folder / kSingleName, "<!DOCTYPE html><title>404</title>");
  EXPECT_THAT(weights_refusal(folder.path()), HasSubstr("it is a web page"));
  write_file(folder / kSingleName, "PK\x03\x04 and the rest of it");
  EXPECT_THAT(weights_refusal(folder.path()), HasSubstr("as torch.save() writes"));
  write_file(folder / kSingleName, "GGUF and the rest of it");
  EXPECT_THAT(weights_refusal(folder.path()), HasSubstr("GGUF"));
}

}  // namespace
}  // namespace gsnake::hf
