#include "measure/crowding.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "measure/median.h"

namespace gsnake::measure {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kBlock = 1 << 20;
constexpr int kRounds = 9;  // short ones: a machine's speed may differ from one second to the next
constexpr auto kPeriod = std::chrono::microseconds(400);
constexpr double kMost = 5.0;
constexpr double kMostFavour = 10.0;
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

// Threads that copy a block each and sleep, by turns; all begin at the same moments.
class Bursts {
 public:
  // Seconds of all threads together.
  struct Tally {
    double taken = 0.0;    // of processors, sleeping and waking included
    double copying = 0.0;  // in copies, by the clock,
    double copied = 0.0;   // and of processors
  };
  explicit Bursts(int threads) : tallies_(static_cast<std::size_t>(threads)) {
    for (Tally& tally : tallies_) threads_.emplace_back([this, &tally](const std::stop_token& stop) { work(tally, stop); });
  }

  Tally stop() {
    threads_.clear();
    Tally all;
    for (const Tally& tally : tallies_) all = {all.taken + tally.taken, all.copying + tally.copying, all.copied + tally.copied};
    return all;
  }
  // Since they began.
  [[nodiscard]] double seconds() const { return since(begin_); }

 private:
  void work(Tally& tally, const std::stop_token& stop) {
    std::vector<char> from(kBlock, 1);
    std::vector<char> to(kBlock);
    const double before = thread_seconds();
    Clock::time_point next = begin_;
    while (!stop.stop_requested()) {
      while (next <= Clock::now()) next += kPeriod;
      std::this_thread::sleep_until(next);
      const auto begin = Clock::now();
      const double processor = thread_seconds();
      std::memcpy(to.data(), from.data(), kBlock);
      tally.copied += thread_seconds() - processor;
      tally.copying += since(begin);
    }
    tally.taken = thread_seconds() - before;
  }

  const Clock::time_point begin_ = Clock::now();
  std::vector<Tally> tallies_;
  std::vector<std::jthread> threads_;
};

// Of two threads that wake one another by turns.
double seconds_of_a_turn() {
  constexpr int kTurns = 300;
  std::mutex mutex;
  std::condition_variable changed;
  int turn = 0;
  const auto take_turns = [&](int own) {
    std::unique_lock lock(mutex);
    for (int i = 0; i < kTurns; ++i) {
      changed.wait(lock, [&] { return turn % 2 == own; });
      ++turn;
      changed.notify_one();
    }
  };
  const auto begin = Clock::now();
  std::thread other([&] { take_turns(1); });
  take_turns(0);
  other.join();
  return since(begin) / (2.0 * kTurns);
}

}  // namespace

double measure_crowding(const std::function<void()>& compute, double cores, double seconds) {
  std::vector<double> found;
  compute();
  for (int round = 0; round < kRounds; ++round) {
    const double alone = rate_of(compute, seconds / (2 * kRounds));
    Bursts bursts(1);
    const double beside = rate_of(compute, seconds / (2 * kRounds));
    const double lasted = bursts.seconds();
    const double taken = bursts.stop().taken / lasted;
    if (taken >= kLeastShare) found.push_back(cores * (1.0 - beside / alone) / taken);
  }
  if (found.empty()) return 1.0;
  return std::clamp(median(found), 1.0, kMost);
}

double favour_of(double clock_seconds, double processor_seconds) {
  if (clock_seconds <= processor_seconds * (1.0 + 1.0 / kMostFavour)) return kMostFavour;
  return std::max(1.0, processor_seconds / (clock_seconds - processor_seconds));
}

double measure_favour(const std::function<void()>& compute, double cores, double seconds) {
  std::vector<double> found;
  for (int round = 0; round < kRounds; ++round) {
    Bursts bursts(std::max(1, static_cast<int>(cores)));
    rate_of(compute, seconds / kRounds);
    const Bursts::Tally tally = bursts.stop();
    found.push_back(favour_of(tally.copying, tally.copied));
  }
  return median(found);
}

double measure_hand_over() {
  std::vector<double> found;
  for (int round = 0; round < kRounds; ++round) found.push_back(seconds_of_a_turn());
  return median(found);
}

}  // namespace gsnake::measure
