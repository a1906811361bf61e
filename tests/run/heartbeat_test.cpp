#include "run/heartbeat.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <vector>

namespace gsnake::run {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;

// Reports, as the heartbeat's thread gives them.
class Reports {
 public:
  void add(double waited_seconds) {
    {
      const std::lock_guard lock(mutex_);
      waited_.push_back(waited_seconds);
    }
    added_.notify_one();
  }
  // Once there are `count`, which must not take forever.
  std::vector<double> await(std::size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(added_.wait_for(lock, minutes(1), [&] { return waited_.size() >= count; }));
    return waited_;
  }
  std::size_t size() {
    const std::lock_guard lock(mutex_);
    return waited_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable added_;
  std::vector<double> waited_;
};

TEST(Heartbeat, ReportsALongWaitAgainAndAgain) {
  Reports reports;
  Heartbeat heartbeat([&](double waited) { reports.add(waited); }, {milliseconds(20), milliseconds(10)});
  const Heartbeat::Wait wait(heartbeat);
  const std::vector<double> waited = reports.await(3);
  ASSERT_GE(waited.size(), 3U);
  EXPECT_GE(waited[0], 0.02);
  EXPECT_GE(waited[1], waited[0] + 0.01);
  EXPECT_GE(waited[2], waited[1] + 0.01);
}

TEST(Heartbeat, ReportsTheNextLongWaitAlthoughTheLastOneIsOver) {
  Reports reports;
  Heartbeat heartbeat([&](double waited) { reports.add(waited); }, {milliseconds(1), hours(1)});
  for (std::size_t i = 1; i <= 3; ++i) {
    const Heartbeat::Wait wait(heartbeat);
    EXPECT_EQ(reports.await(i).size(), i);
  }
}

TEST(Heartbeat, KeepsQuietAboutShortWaitsAndBetweenWaits) {
  Reports reports;
  {
    Heartbeat heartbeat([&](double waited) { reports.add(waited); }, {hours(1), milliseconds(1)});
    for (int i = 0; i < 1000; ++i) const Heartbeat::Wait wait(heartbeat);
  }
  {
    Heartbeat heartbeat([&](double waited) { reports.add(waited); }, {milliseconds(1), milliseconds(1)});
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_EQ(reports.size(), 0U);
}

TEST(Heartbeat, AWaitEndsOnlyAfterItsReportReturned) {
  bool reporting = false;  // of no lock's: the heartbeat orders the two threads
  Reports reports;
  Heartbeat heartbeat(
      [&](double waited) {
        reporting = true;
        reports.add(waited);
        std::this_thread::sleep_for(milliseconds(5));
        reporting = false;
      },
      {milliseconds(1), milliseconds(1)});
  for (int i = 0; i < 20; ++i) {
    {
      const Heartbeat::Wait wait(heartbeat);
      reports.await(reports.size() + 1);
    }
    EXPECT_FALSE(reporting);
  }
}

}  // namespace
}  // namespace gsnake::run
