// What can't work is refused with one line, the right exit status, and nothing left behind.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "cli/command.h"

namespace gsnake::test {
namespace {

using testing::HasSubstr;

class RefusalTest : public CommandTest {
 protected:
  // stderr without the log, which may say at start what it does.
  void expect_refused(const std::vector<std::string>& changes, int status, const std::string& part,
                      const std::vector<std::string>& options = {}) {
    const std::vector<std::string> before = files();
    std::vector<std::string> quiet = options;
    quiet.insert(quiet.end(), {"--log-level", "warn"});
    expect_one_error_line(train(changes, quiet), status, part);
    EXPECT_EQ(files(), before);
  }
};

TEST_F(RefusalTest, NamesTheNearestKeyForAMisspeltOne) { expect_refused({"train.stps=5"}, 2, "train.steps"); }
TEST_F(RefusalTest, NamesADtypeThatDoesNotExist) { expect_refused({"train.dtype=fp8"}, 2, "train.dtype"); }
TEST_F(RefusalTest, NamesACuFileThatIsNotThere) {
  const std::vector<std::string> before = files();
  expect_one_error_line(train({"ssd.engine=cufile"}, {"--log-level", "warn"}, {{"GSNAKE_CUFILE=/nowhere/libcufile.so.0"}, nullptr}), 2,
                        "ssd.engine = \"cufile\": not available: /nowhere/libcufile.so.0: cannot open shared object file");
  EXPECT_EQ(files(), before);
}
TEST_F(RefusalTest, NamesALossScaleThatNothingUses) { expect_refused({"train.loss_scale=128"}, 2, "train.loss_scale"); }
TEST_F(RefusalTest, NamesAnEpsilonThatIsZeroInFp32) { expect_refused({"optimizer.epsilon=1e-50"}, 2, "optimizer.epsilon"); }
TEST_F(RefusalTest, NamesSizesThatNoModelHas) {
  expect_refused({"model.hidden=2147483646"}, 2, "model.hidden = 2147483646");
  expect_refused({"model.layers=1000000"}, 2, "must be an integer in 1..65536");
  expect_refused({"train.sequence_length=2147483647", "model.context=2147483647"}, 2, "train.sequence_length");
  expect_refused({"model.family=llama", "model.heads=4096", "model.hidden=4096", "model.head_dim=8192"}, 2, "model.head_dim = 8192");
}
// Hundreds of megabytes at the most, and at once: the graphs of such a step would take gigabytes.
TEST_F(RefusalTest, StepsOfTooManyMicroBatchesAreNotTried) {
  for (const char* change : {"train.micro_batches=10000000", "model.layers=65536", "train.micro_batch_size=2000000", "model.vocab=16777216"}) {
    const Outcome outcome = train({change, "data.validation=[]"}, {"--log-level", "warn"});
    EXPECT_EQ(outcome.status, 3) << change << outcome.err;
    EXPECT_LT(outcome.peak_bytes, 1ULL << 30) << change;
  }
}
TEST_F(RefusalTest, NamesSamplingThatIsNoNumber) {
  ASSERT_EQ(train({"train.steps=1"}).status, 0);
  expect_one_error_line(run({"generate", "--run", "run", "--prompt", "a", "--temperature", "nan"}), 2, "temperature = nan");
  expect_one_error_line(run({"generate", "--run", "run", "--prompt", "a", "--top-p", "nan"}), 2, "top_p = nan");
}
TEST_F(RefusalTest, EmptyNamesAreRefused) {
  ASSERT_EQ(train({"train.steps=1"}).status, 0);
  expect_one_error_line(run({"export", "--run", "run", "--to", ""}), 2, "--to");
  expect_one_error_line(run({"export", "--run", "", "--to", "out"}), 2, "run directory");
  expect_one_error_line(run({"import", "--from", "", "--run", "x"}), 2, "--from");
  expect_one_error_line(run({"inspect", ""}), 2, "run directory");
}
TEST_F(RefusalTest, AnExportIntoALinkWritesToWhatItLeadsTo) {
  ASSERT_EQ(train({"train.steps=1"}).status, 0);
  std::filesystem::create_directory(folder_ / "real");
  std::filesystem::create_directory_symlink("real", folder_ / "link");
  const Outcome outcome = run({"export", "--run", "run", "--to", "link"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(std::filesystem::exists(folder_ / "real/model.safetensors"));
  EXPECT_TRUE(std::filesystem::is_symlink(folder_ / "link"));
}
// A link that has our temporary folder's name is not followed, and what it leads to stays.
TEST_F(RefusalTest, AnExportEmptiesNothingOfTheUsers) {
  ASSERT_EQ(train({"train.steps=1"}).status, 0);
  std::filesystem::create_directory(folder_ / "mine");
  std::ofstream(folder_ / "mine/file") << "mine";
  std::filesystem::create_directory_symlink("mine", folder_ / "out.gsnake-partial");
  EXPECT_EQ(run({"export", "--run", "run", "--to", "out"}).status, 4);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "mine/file"));
}
// As an ordinary user, whom limits hold: root is above them.
TEST_F(RefusalTest, NamesALimitOnProcesses) {
  if (::geteuid() == 0) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) ASSERT_EQ(::chown(entry.path().c_str(), 65533, 65533), 0);
    ASSERT_EQ(::chown(folder_.c_str(), 65533, 65533), 0);
  }
  const Surroundings few{{}, [] {
                           const rlimit one{1, 1};
                           if (::geteuid() == 0 && (::setresgid(65533, 65533, 65533) != 0 || ::setresuid(65533, 65533, 65533) != 0)) ::_exit(126);
                           ::setrlimit(RLIMIT_NPROC, &one);
                         }};
  const Outcome outcome = train({"train.steps=1"}, {"--log-level", "warn"}, few);
  if (outcome.status == 126 || outcome.status == 127) GTEST_SKIP() << "the program can't be run by another user here";
  EXPECT_EQ(outcome.status, 3) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("ulimit -u"));
}

TEST_F(RefusalTest, NeedsAFileToTrainOn) { expect_refused({"data.train=[]"}, 2, "data.train = []"); }
TEST_F(RefusalTest, NamesACorpusThatIsMissing) { expect_refused({"data.train=absent.txt"}, 5, "absent.txt"); }
TEST_F(RefusalTest, NamesAValidationFileThatIsMissing) {
  expect_refused({"data.validation=absent.txt", "train.validate_every=2"}, 5, "absent.txt");
}
TEST_F(RefusalTest, NamesAFolderThatCannotBeMade) { expect_refused({"run.dir=/dev/null/run"}, 4, "/dev/null"); }
TEST_F(RefusalTest, NamesAnSsdFolderThatCannotBeMade) { expect_refused({"ssd.paths=/dev/null/ssd"}, 4, "/dev/null"); }
TEST_F(RefusalTest, ResumeMustNeedsARun) { expect_refused({}, 2, "run", {"--resume", "must"}); }
TEST_F(RefusalTest, NamesAMetricsFileThatCannotBeMade) { expect_refused({"run.metrics=absent/metrics.jsonl"}, 4, "absent/metrics.jsonl"); }
TEST_F(RefusalTest, NamesATraceFileThatCannotBeMade) { expect_refused({"run.trace=absent/trace.json"}, 4, "run.trace"); }

TEST_F(RefusalTest, AMetricsOrTraceFileThatNoRunWroteIsKept) {
  std::ofstream(folder_ / "notes.jsonl") << "{\"event\": 1}\n";
  std::ofstream(folder_ / "notes.json") << "[1, 2]\n";
  expect_refused({"run.metrics=../notes.jsonl"}, 4, "run.metrics");
  expect_refused({"run.trace=../notes.json"}, 4, "run.trace");
  expect_refused({"run.metrics=../notes.json"}, 4, "no run wrote");
  EXPECT_EQ(std::filesystem::file_size(folder_ / "notes.json"), 7U);
  ASSERT_EQ(train({"run.metrics=../m.jsonl", "run.trace=../t.json"}).status, 0);
  EXPECT_EQ(train({"run.metrics=../m.jsonl", "run.trace=../t.json", "train.steps=8"}).status, 0) << "what a run wrote is a run's";
}

TEST_F(RefusalTest, ResumeNeverKeepsTheRunThatIsThere) {
  ASSERT_EQ(train().status, 0);
  expect_refused({}, 2, "--overwrite", {"--resume", "never"});
  EXPECT_EQ(train({}, {"--resume", "never", "--overwrite"}).status, 0);
}

TEST_F(RefusalTest, AnOverwriteThatIsRefusedKeepsTheRunThatIsThere) {
  ASSERT_EQ(train().status, 0);
  const std::vector<std::string> overwrite{"--resume", "never", "--overwrite"};
  expect_refused({"run.metrics=absent/metrics.jsonl"}, 4, "run.metrics", overwrite);
  expect_refused({"run.metrics=."}, 4, "Is a directory", overwrite);
  expect_refused({"run.trace=/absent/trace.json"}, 4, "run.trace", overwrite);
  expect_refused({}, 2, "--resume never", {"--overwrite"});
  const Outcome again = train({}, {"--resume", "must"});
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("no step was trained"));
}

TEST_F(RefusalTest, AResumeMayNotChangeTheMaths) {
  ASSERT_EQ(train().status, 0);
  expect_refused({"optimizer.learning_rate=1e-4", "train.steps=8"}, 2, "optimizer.learning_rate");
  EXPECT_EQ(train({"optimizer.learning_rate=1e-4", "train.steps=8"}, {"--allow-change", "optimizer.learning_rate"}).status, 0);
}

TEST_F(RefusalTest, ABudgetThatIsTooSmallIsShownAsATable) {
  const std::vector<std::string> before = files();
  const Outcome outcome = train({"memory.host_budget=64 KiB"}, {"--log-level", "warn"});
  EXPECT_EQ(outcome.status, 3) << outcome.err;
  EXPECT_THAT(outcome.err, testing::StartsWith("gsnake: error: "));
  EXPECT_THAT(outcome.err, HasSubstr("memory.host_budget"));
  EXPECT_GT(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1);
  EXPECT_EQ(files(), before);
}

TEST_F(RefusalTest, ARunInUseIsRefusedWithItsOwner) {
  Process owner(folder_, "owner", train_arguments({"train.steps=1000000"}, {}));
  ASSERT_NO_FATAL_FAILURE(wait_for_steps(owner, 1));
  expect_one_error_line(train({}, {"--log-level", "warn"}), 4, "process " + std::to_string(owner.pid()));
  expect_one_error_line(train({"run.dir=other"}, {"--log-level", "warn"}), 4, "process " + std::to_string(owner.pid()));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "other"));
}

class FullDiskTest : public RefusalTest {
 protected:
  void TearDown() override {
    ::umount((folder_ / "small").c_str());
    RefusalTest::TearDown();
  }
};

TEST_F(FullDiskTest, IsRefusedBeforeTheFirstStep) {
  const std::filesystem::path small = folder_ / "small";
  std::filesystem::create_directory(small);
  if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=1m") != 0)
    GTEST_SKIP() << "a small tmpfs can't be mounted: " << std::strerror(errno);
  expect_refused({"ssd.paths=small/ssd"}, 4, "small");
}

// No folder of a run can be made here, nor a file written.
class ReadOnlyTest : public FullDiskTest {};

TEST_F(ReadOnlyTest, AReadOnlyFileSystemIsNamed) {
  const std::filesystem::path small = folder_ / "small";
  std::filesystem::create_directory(small);
  if (::mount("tmpfs", small.c_str(), "tmpfs", MS_RDONLY, "size=1m") != 0) GTEST_SKIP() << "a read-only tmpfs can't be mounted: " << std::strerror(errno);
  expect_refused({"ssd.paths=small/ssd"}, 4, "small");
  expect_refused({"run.dir=small/run"}, 4, "small");
  expect_refused({"run.metrics=" + (small / "metrics.jsonl").string()}, 4, "run.metrics");
}

TEST_F(ReadOnlyTest, AFolderWithoutPermissionIsNamed) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const std::filesystem::path closed = folder_ / "closed";
  std::filesystem::create_directory(closed);
  std::filesystem::permissions(closed, std::filesystem::perms(0555));
  std::filesystem::permissions(folder_, std::filesystem::perms(0777));
  const Surroundings nobody{{}, [] {
                              if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(126);
                            }};
  const std::vector<std::string> before = files();
  expect_one_error_line(train({"ssd.paths=closed/ssd"}, {"--log-level", "warn"}, nobody), 4, "closed");
  expect_one_error_line(train({"run.dir=closed/run"}, {"--log-level", "warn"}, nobody), 4, "closed");
  EXPECT_EQ(files(), before);
}

class UsageTest : public CommandTest {};

TEST_F(UsageTest, EveryCommandHasHelpAndVersion) {
  for (const char* command : {"train", "import", "export", "generate", "inspect", "summary"}) {
    const Outcome help = run({command, "--help"});
    EXPECT_EQ(help.status, 0);
    EXPECT_THAT(help.out, HasSubstr(command));
    EXPECT_EQ(help.err, "");
    const Outcome version = run({command, "--version"});
    EXPECT_EQ(version.status, 0);
    EXPECT_THAT(version.out, testing::StartsWith("gsnake "));
  }
}

TEST_F(UsageTest, WrongCallsAreOneLine) {
  expect_one_error_line(run({}), 2, "gsnake --help");
  expect_one_error_line(run({"trian"}), 2, "did you mean train?");
  expect_one_error_line(run({"train"}), 2, "CONFIG");
  expect_one_error_line(run({"train", "config.toml", "--fast"}), 2, "--fast");
  expect_one_error_line(run({"train", "config.toml", "--resume", "maybe"}), 2, "--resume");
  expect_one_error_line(run({"train", "config.toml", "--log-level", "loud"}), 2, "loud");
  expect_one_error_line(run({"generate", "--model", "hf", "--prompt", "a"}), 5, "there is no such folder");
  expect_one_error_line(run({"generate", "--model", "hf", "--run", "run", "--prompt", "a"}), 2, "--run, or");
  expect_one_error_line(run({"generate", "--prompt", "a"}), 2, "--run");
}

TEST_F(UsageTest, AConfigThatIsMissingIsAnInputFile) { expect_one_error_line(run({"train", "absent.toml"}), 5, "absent.toml"); }

}  // namespace
}  // namespace gsnake::test
