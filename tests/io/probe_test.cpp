#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "greedysnake/error.h"
#include "io/engine.h"
#include "io/test_support.h"

namespace gsnake::io {
namespace {

using testing::fill;
using ::testing::HasSubstr;
using testing::same;
using ::testing::StartsWith;
using testing::TemporaryDirectory;

bool uring_works() {
  try {
    static_cast<void>(make_uring_engine({}));
    return true;
  } catch (const Error&) {
    return false;
  }
}

// From here on the process gets EPERM from io_uring_setup, as under many container run-times.
bool forbid_uring() {
  std::array filter{
      sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, __NR_io_uring_setup},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  const sock_fprog program{filter.size(), filter.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

class MakeEngine : public ::testing::Test {
 protected:
  TemporaryDirectory directory_;
  EngineReport report_;
};

TEST_F(MakeEngine, ThreadsAreMadeWithoutAProbe) {
  const auto engine = make_engine(EngineChoice::threads, directory_.path(), {}, &report_);
  EXPECT_EQ(engine->name(), "threads");
  EXPECT_EQ(report_.name, "threads");
  EXPECT_EQ(report_.reason, "threads: asked for");
}

TEST_F(MakeEngine, AutomaticReportsWhatItFoundAndLeavesNothingInTheFolder) {
  const auto engine = make_engine(EngineChoice::automatic, directory_.path(), {.depth = 5}, &report_);
  EXPECT_EQ(report_.name, engine->name());
  EXPECT_EQ(report_.name, uring_works() ? "io_uring" : "threads");
  EXPECT_THAT(report_.reason, StartsWith(engine->name() + ": "));
  EXPECT_EQ(engine->capacity(), 5U);
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
}

TEST_F(MakeEngine, AFolderThatCannotBeProbedIsTheError) {
  EXPECT_THROW(static_cast<void>(make_engine(EngineChoice::automatic, directory_.file("missing"), {}, nullptr)), Error);
}

TEST_F(MakeEngine, AnEngineOfNoDepthIsRefused) {
  EXPECT_THROW(static_cast<void>(make_uring_engine({.depth = 0})), Error);
  EXPECT_THROW(static_cast<void>(make_thread_engine({.depth = 0})), Error);
  EXPECT_THROW(static_cast<void>(make_thread_engine({.threads = 0})), Error);
}

// Runs in a process of its own: a seccomp filter can't be taken off again.
void check_refused_uring(const std::string& directory) {
  if (!forbid_uring()) {
    std::fputs("no seccomp here\n", stderr);
    std::exit(0);
  }
  EngineReport report;
  const auto engine = make_engine(EngineChoice::automatic, directory, {}, &report);
  std::fprintf(stderr, "%s\n", report.reason.c_str());
  bool threw = false;
  try {
    static_cast<void>(make_engine(EngineChoice::io_uring, directory, {}, nullptr));
  } catch (const Error& error) {
    threw = error.kind() == ErrorKind::storage && error.code() == std::errc::operation_not_permitted;
  }
  std::exit(engine->name() == "threads" && threw ? 0 : 1);
}

TEST_F(MakeEngine, FallsBackToThreadsWithTheReasonWhereUringIsRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(check_refused_uring(directory_.path()), ::testing::ExitedWithCode(0),
              "no seccomp|threads: cannot set up io_uring: Operation not permitted");
}

TEST_F(MakeEngine, MemoryThatTheKernelWillNotRegisterLeavesTheEngineWorking) {
  if (!uring_works()) GTEST_SKIP() << "io_uring is refused here";
  const File file = File::create(directory_.file("data"), 65536, DirectIo::automatic);
  const auto engine = make_uring_engine({});
  engine->add_file(file);
  AlignedBuffer out(65536);
  AlignedBuffer in(65536);
  fill(out, 1);
  // Refused too where RLIMIT_MEMLOCK is low: then all goes without.
  static_cast<void>(engine->register_buffer(out.span()));
  void* forbidden = ::mmap(nullptr, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(forbidden, MAP_FAILED);
  EXPECT_FALSE(engine->register_buffer({static_cast<std::byte*>(forbidden), 65536}).ok);
  transfer(*engine, file, {.op = Direction::write, .file = 0, .offset = 0, .data = out.data(), .size = out.size()});
  transfer(*engine, file, {.op = Direction::read, .file = 0, .offset = 0, .data = in.data(), .size = in.size()});
  EXPECT_TRUE(same(out, in, in.size()));
  ASSERT_EQ(::munmap(forbidden, 65536), 0);
}

}  // namespace
}  // namespace gsnake::io
