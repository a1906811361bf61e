#include "measure/load.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <sstream>
#include <utility>

#include "core/proc_file.h"
#include "core/threads.h"
#include "greedysnake/error.h"

namespace gsnake::measure {
namespace {

constexpr std::uint64_t kFewestEvents = 2;  // in the time that is looked at
constexpr auto kGlance = std::chrono::milliseconds(1);

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double seconds_since(std::int64_t begin_ns) { return static_cast<double>(now_ns() - begin_ns) * 1e-9; }

// Until `seconds` have passed and every load has done enough, but no longer than `most`.
template <typename Enough>
void wait(std::span<const Load* const> loads, double seconds, double most, Enough enough) {
  const std::int64_t begin = now_ns();
  for (double passed = 0.0; passed < most; passed = seconds_since(begin)) {
    for (const Load* load : loads) load->rethrow();
    bool all = passed >= seconds;
    for (std::size_t i = 0; all && i < loads.size(); ++i) all = enough(i);
    if (all) return;
    std::this_thread::sleep_for(kGlance);
  }
}

std::vector<Tally> tallies_of(std::span<const Load* const> loads) {
  std::vector<Tally> tallies;
  for (const Load* load : loads) tallies.push_back(load->tally());
  return tallies;
}

double rate_between(const Tally& begin, const Tally& end) {
  if (begin.events == 0 || end.at_ns <= begin.at_ns) return 0.0;
  return (end.amount - begin.amount) / (static_cast<double>(end.at_ns - begin.at_ns) * 1e-9);
}

}  // namespace

double process_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double machine_seconds() {
  std::istringstream line(core::line_of("/proc/stat"));  // cpu user nice system idle iowait irq softirq steal
  std::string name;
  double ticks = 0.0;
  line >> name;
  for (int column = 0; column < 8; ++column) {
    double value = 0.0;
    line >> value;
    const bool idle = column == 3 || column == 4;
    if (!idle) ticks += value;
  }
  return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

void Counter::add(double amount) noexcept {
  const std::lock_guard lock(mutex_);
  tally_.amount += amount;
  ++tally_.events;
  tally_.at_ns = now_ns();
}

Tally Counter::read() const noexcept {
  const std::lock_guard lock(mutex_);
  return tally_;
}

Load::Load(std::string what, std::vector<Body> bodies, std::uint64_t settles_after)
    : what_(std::move(what)), settles_after_(settles_after) {
  for (Body& body : bodies) {
    threads_.emplace_back([this, body = std::move(body)](const std::stop_token& stop) { run(body, stop); });
  }
}

// All are asked before one is waited for.
Load::~Load() {
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();
}

void Load::run(const Body& body, const std::stop_token& stop) noexcept {
  core::set_thread_name("gs-measure");
  core::block_signals();
  try {
    body(stop, counter_);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
}

void Load::rethrow() const {
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
}

Load::Body repeated(std::function<double()> once) {
  return [once = std::move(once)](const std::stop_token& stop, Counter& counter) {
    while (!stop.stop_requested()) counter.add(once());
  };
}

Observation observe(std::span<const Load* const> loads, const Patience& patience) {
  wait(loads, patience.seconds / 5.0, patience.most_seconds,
       [&](std::size_t i) { return loads[i]->tally().events >= loads[i]->settles_after(); });
  const std::vector<Tally> before = tallies_of(loads);
  const double cpu = process_seconds();
  const std::int64_t begin = now_ns();
  wait(loads, patience.seconds, patience.most_seconds,
       [&](std::size_t i) { return loads[i]->tally().events >= before[i].events + kFewestEvents; });
  Observation seen;
  seen.cores = (process_seconds() - cpu) / seconds_since(begin);
  const std::vector<Tally> after = tallies_of(loads);
  for (std::size_t i = 0; i < loads.size(); ++i) {
    seen.per_second.push_back(rate_between(before[i], after[i]));
    if (seen.per_second.back() > 0.0) continue;
    throw Error(
        ErrorKind::storage,
        fmt::format("cannot measure {}: nothing was done in {:.1f} seconds; look at what else this machine is busy with, or at the drive",
                    loads[i]->what(), 2.0 * patience.most_seconds));
  }
  return seen;
}

}  // namespace gsnake::measure
