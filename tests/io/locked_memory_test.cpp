// A user who may lock too little memory, alone or because other processes hold what there is: io_uring with fewer transfers at once, with
// memory that is not registered, or threads in its place.
#include "io/locked_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <signal.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <sstream>
#include <vector>

#include "greedysnake/error.h"
#include "io/ring_faults.h"
#include "io/test_support.h"

namespace gsnake::io {
namespace {

using testing::fill;
using ::testing::HasSubstr;
using testing::same;
using testing::TemporaryDirectory;

// A kernel that refuses rings of some sizes.
class ScarceMemory final : public RingFaults {
 public:
  using Refuses = std::function<bool(int call, unsigned entries)>;
  explicit ScarceMemory(Refuses refuses) : refuses_(std::move(refuses)) {}
  int set_up(unsigned entries) noexcept override { return refuses_(calls_++, entries) ? ENOMEM : 0; }
  [[nodiscard]] int calls() const { return calls_; }

 private:
  Refuses refuses_;
  int calls_ = 0;
};

// What is logged while this lives.
class Log {
 public:
  Log() { spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_))); }
  ~Log() { spdlog::set_default_logger(before_); }
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  [[nodiscard]] std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
  std::shared_ptr<spdlog::logger> before_ = spdlog::default_logger();
};

class LockedMemory : public ::testing::Test {
 protected:
  static constexpr std::size_t kBytes = 65536;

  void SetUp() override {
    try {
      static_cast<void>(make_uring_engine({}));
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }

  TemporaryDirectory directory_;
  File file_ = File::create(directory_.file("data"), kBytes, DirectIo::off);
};

TEST_F(LockedMemory, ARingThatIsTooLargeIsHalvedUntilItFitsWithOneLine) {
  ScarceMemory memory([](int, unsigned entries) { return entries > 20; });
  const Log log;
  const auto engine = make_uring_engine({.depth = 64}, &memory);
  EXPECT_EQ(engine->capacity(), 16U);
  const std::string text = log.text();
  EXPECT_THAT(text, HasSubstr("too little memory may be locked for 64 transfers at once; using 16 (raise the limit of locked memory (ulimit -l), "));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  engine->add_file(file_);
  AlignedBuffer out(kBytes);
  AlignedBuffer in(kBytes);
  fill(out, 5);
  transfer(*engine, file_, {.op = Direction::write, .file = 0, .data = out.data(), .size = kBytes});
  transfer(*engine, file_, {.op = Direction::read, .file = 0, .data = in.data(), .size = kBytes});
  EXPECT_TRUE(same(out, in, kBytes));
}

TEST_F(LockedMemory, WhatAClosedRingHadLockedIsWaitedFor) {
  ScarceMemory memory([](int call, unsigned) { return call < 4; });  // 64, 32, 16, 8
  const Log log;
  EXPECT_EQ(make_uring_engine({.depth = 64}, &memory)->capacity(), 64U);
  EXPECT_EQ(log.text(), "");
}

TEST_F(LockedMemory, WhereNoRingFitsTheErrorNamesTheLimit) {
  ScarceMemory memory([](int, unsigned) { return true; });
  try {
    static_cast<void>(make_uring_engine({.depth = 2}, &memory));
    FAIL() << "no ring, and yet an engine";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), std::errc::not_enough_memory);
    EXPECT_THAT(error.what(), HasSubstr("cannot set up io_uring: Cannot allocate memory; raise the limit of locked memory (ulimit -l), which is "));
  }
  EXPECT_GT(memory.calls(), 1);
}

TEST_F(LockedMemory, AnotherRefusalIsNotTriedAgain) {
  class Forbidden final : public RingFaults {
   public:
    int set_up(unsigned) noexcept override { return ++calls, EPERM; }
    int calls = 0;
  } forbidden;
  EXPECT_THROW(static_cast<void>(make_uring_engine({.depth = 64}, &forbidden)), Error);
  EXPECT_EQ(forbidden.calls, 1);
}

// ---- With the kernel's own accounts, each in a process of its own ----

// A user whose account nobody else draws on; an ordinary user stays who it is. Either way what exempts root from the limit is gone.
bool become_an_ordinary_user(const std::string& folder) {
  if (::geteuid() == 0) {
    const auto user = static_cast<uid_t>(60'000 + ::getpid() % 5'000);
    if (::chown(folder.c_str(), user, user) != 0 || ::setresuid(user, user, user) != 0) return false;
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  return ::syscall(SYS_capset, &header, data) == 0;
}

bool may_lock(rlim_t bytes) {
  const rlimit limit{bytes, bytes};
  return ::setrlimit(RLIMIT_MEMLOCK, &limit) == 0;
}

enum Status { kRight = 0, kWrong = 1, kNotHere = 2 };

bool moves_bytes(IoEngine& engine, const std::string& folder) {
  const File file = File::create(folder + "/moved", 65536, DirectIo::off);
  const int index = engine.add_file(file);
  AlignedBuffer out(65536);
  AlignedBuffer in(65536);
  fill(out, 3);
  transfer(engine, file, {.op = Direction::write, .file = index, .data = out.data(), .size = out.size()});
  transfer(engine, file, {.op = Direction::read, .file = index, .data = in.data(), .size = in.size()});
  return same(out, in, in.size());
}

constexpr rlim_t kUsualLimit = 8 << 20;

void check_unregistered(const std::string& folder) {
  const File file = File::create(folder + "/unregistered", 65536, DirectIo::off);
  if (!become_an_ordinary_user(folder) || !may_lock(kUsualLimit)) std::exit(kNotHere);
  spdlog::set_default_logger(spdlog::stderr_logger_mt("test"));
  std::unique_ptr<IoEngine> engine;
  try {
    engine = make_uring_engine({});
  } catch (const Error& error) {
    std::exit(error.code() == std::errc::not_enough_memory ? kNotHere : kWrong);  // an ordinary user's other processes hold it all
  }
  engine->add_file(file);
  AlignedBuffer memory(16 << 20);
  AlignedBuffer more(9 << 20);
  const RegistrationReport report = engine->register_buffer(memory.span());
  static_cast<void>(engine->register_buffer(more.span()));  // is warned of no second time
  fill(memory, 3);
  transfer(*engine, file, {.op = Direction::write, .file = 0, .data = memory.data(), .size = 65536});
  transfer(*engine, file, {.op = Direction::read, .file = 0, .data = more.data(), .size = 65536});
  const RegistrationReport all = engine->registration();
  const bool right = !report.ok && report.error == std::errc::not_enough_memory && report.limit_bytes == kUsualLimit &&
                     report.needed_bytes == memory.size() && !all.ok && all.needed_bytes == memory.size() + more.size() &&
                     same(memory, more, 65536);
  std::exit(right ? kRight : kWrong);
}

// Locks all that the user may, page by page in the end, and waits to be killed.
pid_t hold_all() {
  int told[2] = {-1, -1};
  if (::pipe(told) != 0) std::exit(kNotHere);
  const pid_t holder = ::fork();
  if (holder != 0) {
    char byte = 0;
    ::close(told[1]);
    if (::read(told[0], &byte, 1) != 1) std::exit(kNotHere);
    return holder;
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  spdlog::set_level(spdlog::level::off);
  std::vector<std::unique_ptr<AlignedBuffer>> memory;
  const auto engine = make_uring_engine({.depth = 1});
  for (std::size_t bytes = 4 << 20; bytes >= 4096;) {
    memory.push_back(std::make_unique<AlignedBuffer>(bytes));
    if (!engine->register_buffer(memory.back()->span()).ok) bytes /= 2;
  }
  if (::write(told[1], "x", 1) != 1) ::_exit(1);
  for (;;) ::pause();
}

void check_used_up(const std::string& folder) {
  if (::geteuid() != 0) std::exit(kNotHere);  // it would be other tests' memory
  if (!become_an_ordinary_user(folder) || !may_lock(kUsualLimit)) std::exit(kNotHere);
  const pid_t holder = hold_all();
  EngineReport report;
  auto engine = make_engine(EngineChoice::automatic, folder, {}, &report);
  std::fprintf(stderr, "%s\n", report.reason.c_str());
  bool right = engine->name() == "threads" && moves_bytes(*engine, folder);
  ::kill(holder, SIGKILL);
  ::waitpid(holder, nullptr, 0);
  // The kernel gives a ring's memory back some time after its process has ended.
  for (int tries = 0; tries < 200 && engine->name() != "io_uring"; ++tries) {
    if (tries > 0) ::usleep(50'000);
    engine = make_engine(EngineChoice::automatic, folder, {}, &report);
  }
  std::fprintf(stderr, "then %s\n", report.reason.c_str());
  right = right && engine->name() == "io_uring" && engine->capacity() == EngineOptions().depth;
  std::exit(right ? kRight : kWrong);
}

void check_none(const std::string& folder) {
  if (!become_an_ordinary_user(folder) || !may_lock(0)) std::exit(kNotHere);
  EngineReport report;
  const auto engine = make_engine(EngineChoice::automatic, folder, {}, &report);
  std::fprintf(stderr, "%s\n", report.reason.c_str());
  // An older kernel does not count rings.
  std::exit((engine->name() == "threads" || engine->name() == "io_uring") && moves_bytes(*engine, folder) ? kRight : kWrong);
}

class LockedMemoryOfAUser : public LockedMemory {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    LockedMemory::SetUp();
  }
  // Right, with such a log; or not to be had by this user.
  static auto ends(bool& here) {
    return [&here](int status) {
      here = WIFEXITED(status) && WEXITSTATUS(status) != kNotHere;
      return WIFEXITED(status) && WEXITSTATUS(status) != kWrong;
    };
  }
};

TEST_F(LockedMemoryOfAUser, BuffersBeyondTheLimitAreUsedUnregisteredWithOneWarning) {
  bool here = true;
  const auto once = [&](const std::string& log) {
    const std::string message = "registered buffers need 16.00 MiB, RLIMIT_MEMLOCK is 8.00 MiB; using unregistered (raise ulimit -l)";
    const std::size_t at = log.find(message);
    return !here || (at != std::string::npos && log.find("using unregistered", at + message.size()) == std::string::npos);
  };
  EXPECT_EXIT(check_unregistered(directory_.path()), ends(here), ::testing::Truly(once));
  if (!here) GTEST_SKIP() << "other processes of this user hold all of its locked memory";
}

TEST_F(LockedMemoryOfAUser, WhatAnotherProcessHoldsLeavesThreadsUntilItEnds) {
  bool here = true;
  const auto told = [&](const std::string& log) {
    return !here || (log.find("threads: cannot set up io_uring: Cannot allocate memory; raise the limit of locked memory (ulimit -l), which is 8.00 MiB for all "
                              "processes of this user together") != std::string::npos &&
                     log.find("then io_uring: probed") != std::string::npos);
  };
  EXPECT_EXIT(check_used_up(directory_.path()), ends(here), ::testing::Truly(told));
  if (!here) GTEST_SKIP() << "only root can be a user whose locked memory nobody else needs";
}

TEST_F(LockedMemoryOfAUser, WithNoneAtAllThereIsAnEngine) {
  bool here = true;
  EXPECT_EXIT(check_none(directory_.path()), ends(here), "io_uring: probed|threads: cannot set up io_uring: Cannot allocate memory|^$");
  if (!here) GTEST_SKIP() << "this process may not lower its limits";
}

}  // namespace
}  // namespace gsnake::io
