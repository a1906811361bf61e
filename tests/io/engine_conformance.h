// What the conformance suite runs on: every engine, on direct and on buffered files.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "greedysnake/error.h"
#include "io/cufile.h"
#include "io/engine.h"
#include "io/fake_cufile/fake_cufile.h"
#include "io/harmless_faults.h"
#include "io/test_support.h"

namespace gsnake::io {

using testing::fill;
using testing::same;
using testing::TemporaryDirectory;
using testing::Waiter;

inline constexpr std::size_t kBlock = 4096;
inline constexpr std::size_t kFileBytes = 4 << 20;

// An engine of which all that follows must hold.
struct Variant {
  const char* name;
  std::function<std::unique_ptr<IoEngine>(EngineOptions)> make;
};

inline std::unique_ptr<IoEngine> make_uring(EngineOptions options, const UringOptions& uring) {
  options.uring = uring;
  return make_uring_engine(options);
}

// On the fake: it fails as the script says.
inline std::unique_ptr<IoEngine> make_cufile(const EngineOptions& options, testing::fake_cufile::Script script) {
  testing::fake_cufile::follow(std::move(script));
  return make_cufile_engine(options, {.library = FAKE_CUFILE});
}

inline const std::vector<Variant>& variants() {
  static const std::vector<Variant> all{
      {"Uring", [](const EngineOptions& options) { return make_uring_engine(options); }},
      {"UringCooperative", [](const EngineOptions& options) { return make_uring(options, {.task_run = TaskRun::cooperative}); }},
      {"UringInterrupting", [](const EngineOptions& options) { return make_uring(options, {.task_run = TaskRun::interrupting}); }},
      {"UringSubmissionPolling", [](const EngineOptions& options) { return make_uring(options, {.submission_polling = true}); }},
      {"UringUnregistered",
       [](const EngineOptions& options) { return make_uring(options, {.register_files = false, .register_buffers = false}); }},
      {"UringFaulty", [](const EngineOptions& options) { return testing::make_harmless_engine(EngineChoice::io_uring, options, 11); }},
      {"Threads", [](const EngineOptions& options) { return make_thread_engine(options); }},
      {"ThreadsFaulty", [](const EngineOptions& options) { return testing::make_harmless_engine(EngineChoice::threads, options, 12); }},
      {"CuFile", [](const EngineOptions& options) { return make_cufile(options, {}); }},
      {"CuFileFaulty",
       [](const EngineOptions& options) { return make_cufile(options, {.harmless = 13, .longest_delay = std::chrono::microseconds(300)}); }},
  };
  return all;
}

using Parameters = std::tuple<Variant, DirectIo>;

inline std::string name_of(const ::testing::TestParamInfo<Parameters>& info) {
  return std::string(std::get<0>(info.param).name) + (std::get<1>(info.param) == DirectIo::automatic ? "Direct" : "Buffered");
}

class IoEngineConformance : public ::testing::TestWithParam<Parameters> {
 protected:
  void SetUp() override {
    file_ = File::create(directory_.file("data"), kFileBytes, std::get<1>(GetParam()));
    if (std::get<1>(GetParam()) == DirectIo::automatic && !file_.direct()) GTEST_SKIP() << "no O_DIRECT here: " << file_.buffered_reason();
    try {
      make({.depth = 8, .threads = 3, .split_bytes = 64 * 1024});
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }
  void TearDown() override {
    engine_.reset();
    EXPECT_EQ(testing::fake_cufile::leaks(), "");
    EXPECT_THAT(testing::fake_cufile::take_misuse(), ::testing::IsEmpty());
  }
  void make(const EngineOptions& options) {
    engine_ = std::get<0>(GetParam()).make(options);
    ASSERT_EQ(engine_->add_file(file_), 0);
  }
  static Request request(Direction op, std::uint64_t offset, AlignedBuffer& memory, Completion& completion) {
    return {.op = op, .file = 0, .offset = offset, .data = memory.data(), .size = memory.size(), .completion = &completion};
  }
  std::error_code run(Direction op, std::uint64_t offset, AlignedBuffer& memory) {
    Waiter waiter;
    const Request one = request(op, offset, memory, waiter);
    EXPECT_TRUE(engine_->try_submit({&one, 1}));
    return waiter.wait();
  }

  TemporaryDirectory directory_;
  File file_;
  std::unique_ptr<IoEngine> engine_;
};

}  // namespace gsnake::io
