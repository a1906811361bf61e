// What tests of the cuFile engine share: a fake library that is left as it was found.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "io/cufile.h"
#include "io/fake_cufile/fake_cufile.h"
#include "io/test_support.h"

namespace gsnake::io {

using testing::fake_cufile::Call;
using testing::fake_cufile::Script;

class CuFileTest : public ::testing::Test {
 protected:
  static constexpr std::size_t kBytes = 64 * 1024;

  CuFileTest() {
    testing::fake_cufile::follow({});
    testing::fill(out_, 1);
  }
  // Whatever happened, nothing stays registered and nothing was called that may not be.
  void TearDown() override {
    engine_.reset();
    EXPECT_EQ(testing::fake_cufile::leaks(), "");
    EXPECT_THAT(testing::fake_cufile::take_misuse(), ::testing::IsEmpty());
  }

  static std::unique_ptr<IoEngine> make(Script script, const EngineOptions& options = {.depth = 4, .threads = 1}) {
    testing::fake_cufile::follow(std::move(script));
    return make_cufile_engine(options, {.library = FAKE_CUFILE});
  }
  // An engine with one file and both buffers.
  void start(Script script, const EngineOptions& options = {.depth = 4, .threads = 1}) {
    engine_ = make(std::move(script), options);
    engine_->add_file(file_);
    engine_->register_buffer(out_.span());
    engine_->register_buffer(in_.span());
  }
  std::error_code run(Direction op, std::span<std::byte> memory, std::uint64_t offset = 0) {
    testing::Waiter waiter;
    const Request one{.op = op, .file = 0, .offset = offset, .data = memory.data(), .size = memory.size(), .completion = &waiter};
    EXPECT_TRUE(engine_->try_submit({&one, 1}));
    const std::error_code error = waiter.wait();
    EXPECT_EQ(waiter.count(), 1);
    return error;
  }

  testing::TemporaryDirectory directory_;
  File file_ = File::create(directory_.file("data"), kBytes, DirectIo::off);
  AlignedBuffer out_{kBytes};
  AlignedBuffer in_{kBytes};
  std::unique_ptr<IoEngine> engine_;
};

}  // namespace gsnake::io
