#include "core/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>

namespace gsnake::core {
namespace {

TEST(ParallelFor, CallsForEveryElementOnceInRangesOfWholeGrains) {
  for (const unsigned threads : {0U, 1U, 2U, 3U, 16U}) {
    for (const std::size_t count : {0U, 1U, 7U, 8U, 9U, 100U, 1000U}) {
      std::vector<std::atomic<int>> times(count);
      std::atomic<unsigned> ranges = 0;
      parallel_for(threads, count, 8, [&](std::size_t begin, std::size_t end) {
        EXPECT_EQ(begin % 8, 0U);
        EXPECT_LT(begin, end);
        ++ranges;
        for (std::size_t i = begin; i < end; ++i) ++times[i];
      });
      for (const std::atomic<int>& each : times) EXPECT_EQ(each, 1);
      EXPECT_LE(ranges, std::max(1U, threads));
    }
  }
}

TEST(ParallelFor, ThrowsTheFirstRangesExceptionWhenAllHaveEnded) {
  std::atomic<int> ended = 0;
  try {
    parallel_for(4, 4, 1, [&](std::size_t begin, std::size_t) {
      if (begin == 3) std::this_thread::sleep_for(std::chrono::milliseconds(20));
      ++ended;
      if (begin > 0) throw std::runtime_error(std::to_string(begin));
    });
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(std::string(error.what()), "1");
  }
  EXPECT_EQ(ended, 4);
}

}  // namespace
}  // namespace gsnake::core
