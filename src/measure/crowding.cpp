#include "measure/crowding.h"

#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

namespace gsnake::measure {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kBlock = 1 << 20;
constexpr auto kPause = std::chrono::microseconds(300);
constexpr double kMost = 3.0;
constexpr double kLeastShare = 0.02;  // of a core that the short tasks must have had to tell anything

double thread_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// Calls a second.
double rate_of(const std::function<void()>& compute, double seconds) {
  const auto begin = Clock::now();
  int calls = 0;
  while (since(begin) < seconds) {
    compute();
    ++calls;
  }
  return calls / since(begin);
}

// Copies a block, and sleeps, by turns.
class Bursts {
 public:
  Bursts() : thread_([this] { work(); }) {}
  // Of a core, since it began.
  double stop() {
    stopping_ = true;
    thread_.join();
    return share_;
  }

 private:
  void work() {
    std::vector<char> from(kBlock, 1);
    std::vector<char> to(kBlock);
    const auto begin = Clock::now();
    const double before = thread_seconds();
    while (!stopping_) {
      std::memcpy(to.data(), from.data(), kBlock);
      std::this_thread::sleep_for(kPause);
    }
    share_ = (thread_seconds() - before) / since(begin);
  }

  std::atomic<bool> stopping_{false};
  double share_ = 0.0;
  std::thread thread_;
};

}  // namespace

double measure_crowding(const std::function<void()>& compute, double cores, double seconds) {
  constexpr int kRounds = 3;
  std::vector<double> found;
  compute();
  for (int round = 0; round < kRounds; ++round) {
    const double alone = rate_of(compute, seconds / (2 * kRounds));
    Bursts bursts;
    const double beside = rate_of(compute, seconds / (2 * kRounds));
    const double taken = bursts.stop();
    if (taken >= kLeastShare) found.push_back(cores * (1.0 - beside / alone) / taken);
  }
  if (found.empty()) return 1.0;
  std::sort(found.begin(), found.end());
  return std::clamp(found[found.size() / 2], 1.0, kMost);
}

double measure_hand_over() {
  constexpr int kRounds = 2000;
  std::mutex mutex;
  std::condition_variable changed;
  int turn = 0;
  const auto take_turns = [&](int own) {
    std::unique_lock lock(mutex);
    for (int i = 0; i < kRounds; ++i) {
      changed.wait(lock, [&] { return turn % 2 == own; });
      ++turn;
      changed.notify_one();
    }
  };
  const auto begin = Clock::now();
  std::thread other([&] { take_turns(1); });
  take_turns(0);
  other.join();
  return since(begin) / (2.0 * kRounds);
}

}  // namespace gsnake::measure
