// Runs that were moved or copied: a command shows what the folder that it is given holds, never another's.
#include <gmock/gmock.h>
#include <xxhash.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "cli/command.h"
#include "cli/files.h"

namespace gsnake::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class MovedRunTest : public CommandTest {
 protected:
  // To step `steps`.
  void train_in(const std::string& run_dir, const std::string& ssd, int steps, const std::string& more = "run.commit_every=1") {
    const Outcome outcome = train({"run.dir=" + run_dir, "ssd.paths=[" + ssd + "]", "train.steps=" + std::to_string(steps), more});
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }
  static std::string quoted(const std::string& path) { return '"' + path + '"'; }
  Json inspected(const std::vector<std::string>& arguments) {
    std::vector<std::string> words{"inspect", "--json"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome.status == 0 ? Json::parse(outcome.out) : Json::object();
  }
  // What a run's readers say of the folder `run_dir`: it holds `step`, of which nothing lies elsewhere than below `root`.
  void expect_holds(const std::string& run_dir, int step, const fs::path& root, const std::string& weights) {
    SCOPED_TRACE(run_dir);
    for (const bool verify : {false, true}) {
      const Json run = inspected(verify ? std::vector<std::string>{run_dir, "--verify"} : std::vector<std::string>{run_dir});
      EXPECT_EQ(run["step"], step);
      for (const Json& kind : run["kinds"]) {
        for (const Json& file : kind["files"]) EXPECT_THAT(file["file"].get<std::string>(), testing::StartsWith(root.string() + "/"));
      }
    }
    EXPECT_EQ(exported(run_dir), weights);
    const Outcome text = run({"generate", "--run", run_dir, "--prompt", "a", "--tokens", "1"});
    EXPECT_EQ(text.status, 0) << text.err;
  }
  // The weights that an export writes.
  std::string exported(const std::string& run_dir, const std::vector<std::string>& more = {}) {
    fs::remove_all(folder_ / "exported");
    std::vector<std::string> words{"export", "--run", run_dir, "--to", "exported", "--dtype", "fp32"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return bytes_of(folder_ / "exported/model.safetensors");
  }
  void copy(const std::string& from, const std::string& to) { fs::copy(folder_ / from, folder_ / to, fs::copy_options::recursive); }
};

// State in the run's folder, as `gsnake import` lays it out, and beside it; on one path and on two.
class WholeRunTest : public MovedRunTest, public testing::WithParamInterface<const char*> {
 protected:
  [[nodiscard]] std::string paths(const std::string& top) const {
    std::string text = GetParam();
    for (std::size_t at = text.find("TOP"); at != std::string::npos; at = text.find("TOP")) text.replace(at, 3, top);
    return text;
  }
};

TEST_P(WholeRunTest, AMovedRunIsReadAndTrainedWhereItIs) {
  fs::create_directory(folder_ / "a");
  train_in("a/run", paths("a"), 2);
  const std::string weights = exported("a/run");
  fs::rename(folder_ / "a", folder_ / "b");
  expect_holds("b/run", 2, folder_ / "b", weights);
  train_in("b/run", paths("b"), 3);
  expect_holds("b/run", 3, folder_ / "b", exported("b/run"));
  EXPECT_FALSE(fs::exists(folder_ / "a"));
}

TEST_P(WholeRunTest, ACopyShowsItsOwnStateAndNeverThatOfTheOriginal) {
  fs::create_directory(folder_ / "a");
  train_in("a/run", paths("a"), 2);
  const std::string at_2 = exported("a/run");
  copy("a", "b");
  train_in("a/run", paths("a"), 4);
  const std::string at_4 = exported("a/run");
  EXPECT_NE(at_2, at_4);
  expect_holds("b/run", 2, folder_ / "b", at_2);
  expect_holds("a/run", 4, folder_ / "a", at_4);
  // Neither writes to the other.
  train_in("b/run", paths("b"), 3);
  expect_holds("a/run", 4, folder_ / "a", at_4);
  expect_holds("b/run", 3, folder_ / "b", exported("b/run"));
  fs::remove_all(folder_ / "a");
  train_in("b/run", paths("b"), 4);
  EXPECT_EQ(exported("b/run"), at_4) << "it went on as the original did";
}

INSTANTIATE_TEST_SUITE_P(Layouts, WholeRunTest,
                         testing::Values("\"TOP/run/ssd\", \"TOP/beside\"", "\"TOP/ssd\""));

TEST_F(MovedRunTest, ACopyOfTheRunsFolderAloneShowsNothingLater) {
  train_in("run", quoted("ssd"), 2);
  copy("run", "copy");
  EXPECT_EQ(inspected({"copy"})["step"], 2);
  const std::string at_2 = exported("copy");
  EXPECT_EQ(at_2, exported("run"));
  train_in("run", quoted("ssd"), 4);
  EXPECT_EQ(inspected({"copy"})["step"], 2);
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{"export", "--run", "copy", "--to", "out"}, {"inspect", "copy", "--verify"}, {"generate", "--run", "copy", "--prompt", "a"}}) {
    const Outcome outcome = run(words);
    expect_one_error_line(outcome, 4, "that of the run in " + (folder_ / "run").string());
    EXPECT_THAT(outcome.err, HasSubstr("a copy of that folder as of commit 2"));
  }
  // Nor does it train over it.
  const Outcome trained = train({"run.dir=copy", "train.steps=5"});
  EXPECT_EQ(trained.status, 4);
  EXPECT_THAT(trained.err, HasSubstr("set run.dir to " + (folder_ / "run").string()));
  EXPECT_EQ(inspected({"run", "--verify"})["step"], 4);
  // Nor where the original is elsewhere now, or gone.
  fs::rename(folder_ / "run", folder_ / "renamed");
  expect_holds("renamed", 4, folder_, exported("renamed"));
  for (const bool gone : {false, true}) {
    if (gone) fs::remove_all(folder_ / "renamed");
    expect_one_error_line(run({"export", "--run", "copy", "--to", "out"}), 4, "copy is a copy of the run's folder as of commit 2");
    EXPECT_EQ(train({"run.dir=copy", "train.steps=5"}).status, 4);
    EXPECT_EQ(inspected({"copy"})["step"], 2);
  }
  // The remedy for a lost run directory.
  for (const char* name : {"manifest.json", "manifest.previous.json"}) fs::remove(folder_ / "copy" / name);
  const Outcome taken_over = train({"run.dir=copy", "train.steps=5"}, {"--resume", "must"});
  EXPECT_EQ(taken_over.status, 0) << taken_over.err;
  EXPECT_EQ(inspected({"copy", "--verify"})["step"], 5);
}

TEST_F(MovedRunTest, StateThatIsElsewhereNowIsNamedWithSsd) {
  train_in("run", "\"one\", \"two\"", 2);
  const std::string weights = exported("run");
  fs::create_directory(folder_ / "drive");
  fs::rename(folder_ / "one", folder_ / "drive/one");
  const Outcome lost = run({"export", "--run", "run", "--to", "out"});
  expect_one_error_line(lost, 4, "--ssd");
  EXPECT_EQ(exported("run", {"--ssd", "drive/one", "two"}), weights);
  EXPECT_EQ(inspected({"run", "--verify", "--ssd", "two", "drive/one"})["verified"], true);
  const Json files = inspected({"run", "--ssd", "two", "drive/one"})["kinds"][0]["files"];
  EXPECT_EQ(files[0]["bytes"], files[0]["bytes_found"]) << "each is listed in its own folder, in whatever order they are named";
  EXPECT_THAT(files[0]["file"].get<std::string>(), HasSubstr("drive/one/"));
  expect_one_error_line(run({"inspect", "run", "--ssd", "drive/one"}), 2, "1 SSD paths are named and the run has 2");
  expect_one_error_line(run({"inspect", "run", "--ssd", "", "two"}), 2, "name a folder");
  EXPECT_EQ(run({"generate", "--run", "run", "--ssd", "drive/one", "two", "--prompt", "a", "--tokens", "1"}).status, 0);
}

TEST_F(MovedRunTest, AnSsdPathNamesItsRun) {
  fs::create_directory(folder_ / "a");
  train_in("a/run", "\"a/run/one\", \"a/two\"", 2);
  const std::string weights = exported("a/run");
  EXPECT_EQ(exported("a/two"), weights);
  fs::rename(folder_ / "a", folder_ / "b");
  expect_holds("b/run/one", 2, folder_ / "b", weights);
  expect_holds("b/two", 2, folder_ / "b", weights);
}

TEST_F(MovedRunTest, WithoutItsNewestManifestReadersTakeTheOneBeforeAsTrainingDoes) {
  train_in("run", quoted("run/ssd"), 3);
  for (const char* folder : {"run", "run/ssd"}) fs::remove(folder_ / folder / "manifest.json");
  EXPECT_EQ(inspected({"run"})["step"], 2);
  EXPECT_EQ(inspected({"run", "--verify"})["step"], 2);
  EXPECT_EQ(run({"generate", "--run", "run", "--prompt", "a", "--tokens", "1"}).status, 0);
}

// The SSD paths have the last commit where the run directory's manifest is torn or lost.
TEST_F(MovedRunTest, ATornManifestInTheRunDirectoryHidesNothing) {
  train_in("run", quoted("ssd"), 3);
  const std::string whole = bytes_of(folder_ / "run/manifest.json");
  for (const std::string& damaged : {whole.substr(0, whole.size() / 2), std::string()}) {
    std::ofstream(folder_ / "run/manifest.json", std::ios::binary) << damaged;
    if (damaged.empty()) fs::remove(folder_ / "run/manifest.json");
    EXPECT_EQ(inspected({"run"})["step"], 3);
    EXPECT_EQ(inspected({"run", "--verify"})["step"], 3);
  }
}

// A manifest as a version wrote it that kept neither the run directory's place nor the data's identity.
TEST_F(MovedRunTest, RunsOfEarlierVersionsAreFoundAndGoOn) {
  fs::create_directory(folder_ / "a");
  train_in("a/run", quoted("a/run/ssd"), 2);
  const std::string weights = exported("a/run");
  for (const char* folder : {"a/run", "a/run/ssd"}) {
    const fs::path path = folder_ / folder / "manifest.json";
    Json manifest = Json::parse(bytes_of(path));
    manifest["storage"].erase("run_dir");
    manifest["training"].erase("data");
    manifest.erase("xxh3_64");
    const std::string text = manifest.dump();
    std::array<char, 17> hash{};
    std::snprintf(hash.data(), hash.size(), "%016llx", static_cast<unsigned long long>(XXH3_64bits(text.data(), text.size())));
    manifest["xxh3_64"] = hash.data();
    std::ofstream(path, std::ios::binary) << manifest.dump(1) << '\n';
  }
  expect_holds("a/run", 2, folder_ / "a", weights);
  copy("a", "b");
  expect_holds("b/run", 2, folder_ / "b", weights);
  train_in("b/run", quoted("b/run/ssd"), 3);
  expect_holds("a/run", 2, folder_ / "a", weights);
}

TEST_F(MovedRunTest, AFolderAboveTheRunSaysWhichIsMeant) {
  fs::create_directory(folder_ / "a");
  train_in("a/run", quoted("a/run/ssd"), 2);
  expect_one_error_line(run({"inspect", "a"}), 4, "is " + (folder_ / "a/run").string() + " meant?");
  expect_one_error_line(run({"export", "--run", "nowhere", "--to", "out"}), 4, "there is no such folder");
}

}  // namespace
}  // namespace gsnake::test
