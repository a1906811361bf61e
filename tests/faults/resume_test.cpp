// What a resume makes of manifests that are torn or foreign, and of paths that changed.
#include <gmock/gmock.h>

#include <fstream>

#include "faults/fault_case.h"

namespace gsnake::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ResumeTest : public FaultTest {
 protected:
  // Two paths beside the run's folder.
  static std::vector<std::string> changes(const std::string& steps, const std::string& paths = "\"one\", \"two\"") {
    return {"train.steps=" + steps, "ssd.paths=[" + paths + "]"};
  }
  void SetUp() override {
    FaultTest::SetUp();
    std::vector<std::string> first = changes("4");
    first.push_back("ssd.weights=[1, 1]");
    const Outcome outcome = train(first);
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }
  void tear(const std::string& file) const { fs::resize_file(folder_ / file, fs::file_size(folder_ / file) / 2); }
  Outcome resume(const std::string& paths = "\"one\", \"two\"") { return train(changes("6", paths), {"--resume", "must"}); }
  void expect_refused(const Outcome& outcome, const std::vector<std::string>& parts, int status = 4) {
    EXPECT_EQ(outcome.status, status) << outcome.err;
    const std::string error = outcome.err.substr(std::min(outcome.err.size(), outcome.err.rfind("gsnake: error: ")));
    for (const std::string& part : parts) EXPECT_THAT(error, HasSubstr(part));
  }
  void expect_the_same_end(const Outcome& outcome) {
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(committed_step(), 6);
    train_undisturbed({});
    expect_as_undisturbed();
  }
};

TEST_F(ResumeTest, ATornCopyIsReplacedByAWholeOneWithAWarning) {
  tear("run/manifest.json");
  tear("two/manifest.json");
  const Outcome outcome = resume();
  for (const char* folder : {"run", "two"}) EXPECT_THAT(outcome.err, HasSubstr((folder_ / folder / "manifest.json").string() + ": it is torn"));
  EXPECT_THAT(outcome.err, HasSubstr("used instead: commit 4 in " + (folder_ / "one").string()));
  expect_the_same_end(outcome);
}

TEST_F(ResumeTest, WithAllCopiesTornTheCommitBeforeCountsBecauseItVerifies) {
  for (const char* folder : {"run", "one", "two"}) tear(std::string(folder) + "/manifest.json");
  const Outcome outcome = resume();
  EXPECT_THAT(outcome.err, HasSubstr("used instead, if all its checksums verify: commit 3"));
  EXPECT_THAT(outcome.err, HasSubstr("going on from step 3"));
  expect_the_same_end(outcome);
}

TEST_F(ResumeTest, WithTheCommitBeforeTornAsWellOrDamagedNothingCounts) {
  for (const char* folder : {"run", "one", "two"}) tear(std::string(folder) + "/manifest.json");
  {
    std::fstream weights(folder_ / "two/gsnake-weights.bin", std::ios::in | std::ios::out | std::ios::binary);
    std::string zeros(fs::file_size(folder_ / "two/gsnake-weights.bin"), '\0');
    weights.write(zeros.data(), static_cast<std::streamsize>(zeros.size()));
  }
  expect_refused(resume(), {"has no commit left that counts", "manifest.json: it is torn", "and of commit 3: ", "weights object"});
  for (const char* folder : {"run", "one", "two"}) tear(std::string(folder) + "/manifest.previous.json");
  expect_refused(resume(), {"no valid manifest is left, nor a commit before it", (folder_ / "run/manifest.json").string(),
                            (folder_ / "one/manifest.json").string(), (folder_ / "two/manifest.json").string()});
}

TEST_F(ResumeTest, AManifestWithoutItsTableDoesNotCount) {
  const std::string table = Json::parse(std::ifstream(folder_ / "run/manifest.json"))["storage"]["checksums"]["file"];
  fs::remove(folder_ / "run" / table);
  const Outcome outcome = resume();
  EXPECT_THAT(outcome.err, HasSubstr((folder_ / "run" / table).string() + ": it is missing, and the manifest beside it is valid only with it"));
  expect_the_same_end(outcome);
}

TEST_F(ResumeTest, APathOfAnotherRunIsRefused) {
  ASSERT_EQ(train({"run.dir=other", "ssd.paths=[\"foreign\"]", "train.steps=1"}).status, 0);
  expect_refused(resume("\"one\", \"foreign\""), {(folder_ / "foreign").string() + ": it belongs to run ", "name the folders of one run"});
  EXPECT_EQ(committed_step(), 4);
}

TEST_F(ResumeTest, PathsMayBeReorderedAndRenamed) {
  fs::rename(folder_ / "one", folder_ / "moved");
  expect_the_same_end(resume("\"two\", \"moved\""));
}

TEST_F(ResumeTest, APathThatIsAddedIsRefusedWithTheRemedy) {
  expect_refused(resume("\"one\", \"two\", \"three\""), {(folder_ / "three").string() + ": run ", "has 2 paths and this is none of them",
                                                       "remove it from ssd.paths; a run keeps the paths that it was created with"});
  EXPECT_FALSE(fs::exists(folder_ / "three"));
  EXPECT_EQ(committed_step(), 4);
}

TEST_F(ResumeTest, APathThatIsTakenAwayIsAskedForWithWhatItHeld) {
  expect_refused(resume("\"one\""), {"cannot find SSD path " + (folder_ / "two").string() + ": it is not among ssd.paths and held a share of ", "(weights ",
                                     "mount its drive, or name the folder that it is now in ssd.paths"});
}

TEST_F(ResumeTest, AFileThatWasCutOrLostIsNamed) {
  fs::resize_file(folder_ / "two/gsnake-moment2.bin", 4096);
  expect_refused(resume(), {(folder_ / "two/gsnake-moment2.bin").string(), "it has 4096 B"});
  fs::remove(folder_ / "two/gsnake-moment2.bin");
  expect_refused(resume(), {(folder_ / "two/gsnake-moment2.bin").string(), "No such file"});
}

TEST_F(ResumeTest, AnErrorOfTheDriveNamesOperationPathOffsetObjectAndErrno) {
  std::vector<std::string> threads = changes("6");
  threads.push_back("ssd.engine=threads");
  const Outcome outcome = train(threads, {}, among("pread,moment1.bin,3+,5"));
  expect_refused(outcome, {"cannot read ", " B at offset ", "moment1.bin (object ", " of moment1, slot ", "Input/output error"});
  expect_the_same_end(resume());
}

// The drive says nothing, but its bytes are others: `always` finds it when it reads them, `resume` at the next start.
TEST_F(ResumeTest, VerifyingOnlyAtAResumeFindsDamageThenAndNotBefore) {
  std::vector<std::string> lax = changes("6");
  lax.insert(lax.end(), {"ssd.engine=threads", "ssd.verify=resume"});
  // What start reads to verify comes first: a bit flips in what training reads after it.
  const Outcome trained = train(lax, {}, among("pread,weights.bin,20+,flip"));
  EXPECT_EQ(trained.status, 0) << trained.err;
  train_undisturbed({"ssd.engine=threads"});
  EXPECT_FALSE(state("run") == state("undisturbed")) << "no bit was flipped";
  std::fstream file(folder_ / "one/gsnake-moment1.bin", std::ios::in | std::ios::out | std::ios::binary);
  const auto slot = Json::parse(std::ifstream(folder_ / "run/manifest.json"))["storage"]["slot"].get<std::uint64_t>();
  file.seekp(static_cast<std::streamoff>(slot == 0 ? 100 : fs::file_size(folder_ / "one/gsnake-moment1.bin") - 100));
  file << "damage";
  file.close();
  lax[0] = "train.steps=8";
  const Outcome outcome = train(lax);
  expect_refused(outcome, {"moment1 object ", "moment1.bin", "their XXH3 is "});
}

}  // namespace
}  // namespace gsnake::test
