// Transfers that go on while a test does something else.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "io/test_support.h"

namespace gsnake::io::testing {

// Writes and reads back, again and again, until it is destroyed.
class BackgroundTransfers {
 public:
  BackgroundTransfers(IoEngine& engine, const File& file, std::uint64_t offset) : engine_(engine), file_(file), offset_(offset) {
    thread_ = std::thread([this] { run(); });
  }
  ~BackgroundTransfers() {
    stop_ = true;
    thread_.join();
    EXPECT_TRUE(same(out_, in_, in_.size()));
    EXPECT_GT(rounds_.load(), 0);
  }
  void wait_for_rounds(int rounds) const {
    for (const int until = rounds_ + rounds; rounds_ < until;) std::this_thread::yield();
  }

 private:
  static constexpr std::size_t kBytes = 96 * 1024;

  void run() {
    do {
      fill(out_, static_cast<std::uint64_t>(rounds_));
      transfer(engine_, file_, {.op = Direction::write, .file = 0, .offset = offset_, .data = out_.data(), .size = out_.size()});
      transfer(engine_, file_, {.op = Direction::read, .file = 0, .offset = offset_, .data = in_.data(), .size = in_.size()});
      ++rounds_;
    } while (!stop_ && same(out_, in_, in_.size()));
  }

  IoEngine& engine_;
  const File& file_;
  const std::uint64_t offset_;
  AlignedBuffer out_{kBytes};
  AlignedBuffer in_{kBytes};
  std::atomic<bool> stop_{false};
  std::atomic<int> rounds_{0};
  std::thread thread_;
};

}  // namespace gsnake::io::testing
