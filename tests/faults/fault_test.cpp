// What a user sees when the drive or the kernel says no.
#include <gmock/gmock.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string>

#include "faults/fault_case.h"

namespace gsnake::test {
namespace {

using testing::HasSubstr;

// Of both engines: what the drive does must end the same way.
class Fault : public FaultTest, public testing::WithParamInterface<const char*> {
 protected:
  static std::vector<std::string> engine() { return {std::string("ssd.engine=") + GetParam()}; }
  Outcome train_among(const std::string& faults, const std::vector<std::string>& options = {}) { return train(engine(), options, among(faults)); }

  // The run fails as a storage failure must; the same command then goes on from the last commit and ends as if nothing had been.
  void expect_failure_then_recovery(const std::string& faults, const std::vector<std::string>& parts) {
    const Outcome failed = train_among(faults);
    EXPECT_EQ(failed.status, 4) << failed.err;
    const std::string error = failed.err.substr(failed.err.rfind("gsnake: error: ") == std::string::npos ? 0 : failed.err.rfind("gsnake: error: "));
    for (const std::string& part : parts) EXPECT_THAT(error, HasSubstr(part));
    EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 1) << error;
    const Outcome recovered = train(engine());
    ASSERT_EQ(recovered.status, 0) << recovered.err;
    train_undisturbed(engine());
    expect_as_undisturbed();
  }

  void expect_no_effect(const std::string& faults) {
    const Outcome outcome = train_among(faults);
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    train_undisturbed(engine());
    expect_as_undisturbed();
  }
};

TEST_P(Fault, ShortTransfersAreFinished) { expect_no_effect("pread,.bin,0%3,short;pwrite,.bin,0%3,short"); }
TEST_P(Fault, InterruptedAndBusyCallsAreRepeated) {
  expect_no_effect("pread,.bin,0%5,4;pread,.bin,1%7,11;pwrite,.bin,0%5,4;pwrite,.bin,1%7,11");  // EINTR, EAGAIN
}
TEST_P(Fault, SlowTransfersOnlyTakeTime) { expect_no_effect("pread,.bin,3%50,sleep;pwrite,.bin,2%40,sleep"); }

TEST_P(Fault, AWriteErrorStopsTheRunAtItsLastCommit) {
  expect_failure_then_recovery("pwrite,weights.bin,40+,5", {"write", "weights of object", "bytes at offset", "weights.bin", "Input/output error"});
}
TEST_P(Fault, AReadErrorStopsTheRunAtItsLastCommit) {
  expect_failure_then_recovery("pread,moment1.bin,20+,5", {"read", "moment1 of object", "bytes at offset", "moment1.bin", "Input/output error"});
}
TEST_P(Fault, AWriteThatMovesNothingIsAnError) { expect_failure_then_recovery("pwrite,moment2.bin,40+,zero", {"moment2", "no progress"}); }
TEST_P(Fault, AFlippedBitIsFoundByItsChecksum) {
  expect_failure_then_recovery("pread,weights.bin,60,flip", {"weights of object", "weights.bin", "checksum"});
}
TEST_P(Fault, ABitThatFlipsOnItsWayToTheDriveIsFoundByItsChecksum) {
  const Outcome outcome = train_among("pwrite,weights.bin,20,flip");
  EXPECT_EQ(outcome.status, 4) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("cannot use what was read of weights of object "));
  // The step may have been committed before its bytes were read again: then no start trusts it, rather than train on with them.
  const Outcome again = train(engine());
  if (again.status == 0) {
    train_undisturbed(engine());
    expect_as_undisturbed();
  } else {
    EXPECT_EQ(again.status, 4) << again.err;
    EXPECT_THAT(again.err, HasSubstr("go back to a snapshot (--resume-from)"));
  }
}
// What waits on the drive within a step is checked as well as what outlives it.
TEST_P(Fault, AFlippedBitOfAGradientOrACheckpointIsFoundByItsChecksum) {
  for (const char* kind : {"gradients", "activations"}) {
    const Outcome outcome = train_among(std::string("pread,") + kind + ".bin,3,flip", {"--resume", "never", "--overwrite"});
    EXPECT_EQ(outcome.status, 4) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(std::string("cannot use what was read of ") + kind + " of object "));
    EXPECT_THAT(outcome.err, HasSubstr(std::string(kind) + ".bin: its checksum is "));
  }
}
// The first writes of all: a new run's weights, which nothing but memory knows.
TEST_P(Fault, ABitOfTheInitialWeightsThatFlipsOnItsWayToTheDriveIsFound) {
  // The first write is the probe for O_DIRECT.
  const Outcome outcome = train_among("pwrite,weights.bin,2,flip");
  EXPECT_EQ(outcome.status, 4) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("weights of object"));
  EXPECT_THAT(outcome.err, HasSubstr("checksum"));
  EXPECT_EQ(committed_step(), -1) << "what no step was trained on is not committed";
}
TEST_P(Fault, AFullDriveInTheMiddleOfARunKeepsTheLastCommit) {
  expect_failure_then_recovery("pwrite,weights.bin,40+,28", {"weights", "No space left on device"});
}
TEST_P(Fault, AManifestThatCannotBeWrittenKeepsTheLastCommit) {
  expect_failure_then_recovery("write,manifest,3+,28", {"manifest", "No space left on device"});
}
TEST_P(Fault, ASyncThatFailsKeepsTheLastCommit) { expect_failure_then_recovery("fdatasync,.bin,7+,5", {"sync", ".bin", "Input/output error"}); }
TEST_P(Fault, ARenameThatFailsKeepsTheLastCommit) { expect_failure_then_recovery("rename,manifest.json,3+,5", {"rename", "manifest", "Input/output error"}); }

TEST_P(Fault, AFullDriveAtTheStartIsRefusedAndLeavesNothing) {
  const std::vector<std::string> before = files();
  const Outcome outcome = train_among("fallocate,moment1.bin,0+,28");
  expect_one_error_line(outcome, 4, "moment1.bin");
  EXPECT_THAT(outcome.err, HasSubstr("No space left on device"));
  EXPECT_EQ(files(), before);
}

class Refusal : public FaultTest {};

TEST_F(Refusal, WithoutODirectItTrainsBufferedAndSaysSo) {
  const Outcome outcome = train({}, {}, among("direct,,0+,22"));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_FALSE(metrics().front()["io"]["direct"].get<bool>());
  EXPECT_THAT(outcome.err, HasSubstr("through the page cache"));
  train_undisturbed({});
  expect_as_undisturbed();
}

// In the child: the system call is refused with that error.
template <int kCall, int kError>
void refuse() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kCall, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | kError),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{4, filter};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

struct Refused {
  const char* name;
  void (*refuse)();
  const char* reason;
};

class IoUringRefused : public FaultTest, public testing::WithParamInterface<Refused> {};

TEST_P(IoUringRefused, ItTrainsWithThreadsAndSaysWhy) {
  const Outcome outcome = train({}, {}, {{}, GetParam().refuse});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json start = metrics().front();
  EXPECT_EQ(start["io"]["engine"], "threads");
  EXPECT_THAT(start["io"]["reason"].get<std::string>(), HasSubstr(GetParam().reason));
  EXPECT_THAT(outcome.err, HasSubstr(GetParam().reason));
  train_undisturbed({});
  expect_as_undisturbed();
  const std::vector<std::string> before = files();
  expect_one_error_line(train({"ssd.engine=io_uring", "run.dir=other", "ssd.paths=[\"other/ssd\"]"}, {"--log-level", "warn"}, {{}, GetParam().refuse}), 4,
                        GetParam().reason);
  EXPECT_EQ(files(), before);
}

const Refused kRefusals[] = {
    {"SetupEPERM", refuse<SYS_io_uring_setup, EPERM>, "Operation not permitted"},
    {"SetupENOSYS", refuse<SYS_io_uring_setup, ENOSYS>, "Function not implemented"},
    {"SetupENOMEM", refuse<SYS_io_uring_setup, ENOMEM>, "Cannot allocate memory"},
    {"EnterEPERM", refuse<SYS_io_uring_enter, EPERM>, "Operation not permitted"},
};
INSTANTIATE_TEST_SUITE_P(Calls, IoUringRefused, testing::ValuesIn(kRefusals), [](const auto& instance) { return instance.param.name; });

// In the child. Root is exempt from the limit by a capability that it gives up here.
void lock_little_memory() {
  prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (syscall(SYS_capget, &header, data) == 0) {
    constexpr unsigned kBit = 1U << CAP_IPC_LOCK;
    data[0].effective &= ~kBit;
    data[0].permitted &= ~kBit;
    data[0].inheritable &= ~kBit;
    syscall(SYS_capset, &header, data);
  }
  const rlimit little{1 << 20, 1 << 20};  // enough for the ring itself, too little for the slots
  setrlimit(RLIMIT_MEMLOCK, &little);
}

TEST_F(Refusal, WithLittleLockableMemoryItTrainsAllTheSame) {
  const Outcome outcome = train({}, {}, {{}, lock_little_memory});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json io = metrics().front()["io"];
  if (io["engine"] != "io_uring") GTEST_SKIP() << "no io_uring here: " << io["reason"];
  EXPECT_FALSE(io["registered"].get<bool>());
  EXPECT_THAT(io["unregistered_reason"].get<std::string>(), HasSubstr("RLIMIT_MEMLOCK is 1.00 MiB"));
  EXPECT_THAT(outcome.err, HasSubstr("RLIMIT_MEMLOCK is 1.00 MiB"));
  train_undisturbed({});
  expect_as_undisturbed();
}

TEST_P(Fault, AStateFileThatChangedOnDiskIsFoundBeforeAnythingIsOverwritten) {
  ASSERT_EQ(train(engine()).status, 0);
  const std::string before = state("run");
  const Outcome outcome = train({engine()[0], "train.steps=9"}, {}, among("pread,moment2.bin,0+,flip"));
  EXPECT_EQ(outcome.status, 4);
  EXPECT_THAT(outcome.err, HasSubstr("moment2"));
  EXPECT_EQ(committed_step(), 6);
  EXPECT_TRUE(state("run") == before);
}

INSTANTIATE_TEST_SUITE_P(Engines, Fault, testing::Values("threads", "io_uring"), [](const auto& instance) {
  return std::string(instance.param) == "threads" ? "Threads" : "IoUring";
});

}  // namespace
}  // namespace gsnake::test
