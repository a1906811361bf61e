#include "dist/watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "core/first_line.h"
#include "core/threads.h"
#include "greedysnake/error.h"

namespace gsnake::dist {
namespace {

constexpr Span kRound = std::chrono::milliseconds(100);
constexpr Span kBetweenBeats = std::chrono::milliseconds(500);
constexpr Span kBetweenProbes = std::chrono::milliseconds(500);
constexpr Span kLongestFarewell = std::chrono::seconds(3);

Time now() { return std::chrono::steady_clock::now(); }

}  // namespace

Watch::Watch(Parts parts, const HealthOptions& health, const RankGroupOptions& options)
    : parts_(std::move(parts)), options_(health), group_options_(options), health_(health, now()), looked_(now()), probed_(now()) {
  if (!parts_.store) return;
  beat_.emplace(parts_.store, options_.rank, options_.count, std::min(kBetweenBeats, options_.timeout / 4));
  thread_ = std::thread([this] { run(); });
}

Watch::~Watch() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Watch::run() {
  core::set_thread_name("gs-ranks");
  core::block_signals();
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const Time time = now();
    look(time);
    if (own_.state == State::running) {
      if (const std::optional<Verdict> verdict = health_.verdict(waiting(), time)) convict(lock, *verdict);
    }
    call_last_resort(lock, time);
    publish();
    if (own_.state == State::stopped && beat_->news().told >= said_ && !parts_.keeps_store) beat_->stop();  // it has said all
    changed_.notify_all();
    changed_.wait_for(lock, kRound, [&] { return stopping_; });
  }
}

void Watch::look(Time time) {
  if (time - looked_ >= options_.timeout / 2) health_.was_away(time - looked_, time);
  looked_ = time;
  const Beat::News news = beat_->news();
  if (!news.records.empty()) health_.saw(news.records, news.at);
  if (news.lost) health_.lost_store();
  probe(time);
}

void Watch::probe(Time time) {
  if (time - probed_ < kBetweenProbes) return;
  probed_ = time;
  for (const int rank : health_.quiet()) {
    if (!parts_.probe->connected(rank)) health_.gone(rank);
  }
}

// What ends here is told to the other ranks as well: they may know less.
void Watch::convict(std::unique_lock<std::mutex>& lock, const Verdict& verdict) {
  verdict_ = verdict;
  own_.state = State::stopped;
  own_.culprit = verdict.rank;
  own_.message = verdict.message;
  patience_ends_ = now() + group_options_.patience;
  publish();
  changed_.notify_all();
  abort_links(lock);
  lock.unlock();
  {
    const std::lock_guard telling(telling_);
    if (told_) std::exchange(told_, nullptr)(failure());
  }
  lock.lock();
}

void Watch::call_last_resort(std::unique_lock<std::mutex>& lock, Time time) {
  if (!patience_ends_ || time < *patience_ends_) return;
  patience_ends_.reset();
  if (!group_options_.last_resort) return;
  lock.unlock();
  group_options_.last_resort(verdict_ ? verdict_->message : own_end());
  lock.lock();
}

void Watch::publish() {
  if (!beat_) return;
  Record record = own_;
  for (std::size_t i = 0; i < parts_.links.size(); ++i) record.links[i] = parts_.links[i]->state();
  said_ = beat_->say(record);
}

std::vector<Waiting> Watch::waiting() const {
  std::vector<Waiting> calls = broken_;
  for (std::size_t i = 0; i < parts_.links.size(); ++i) {
    if (const std::optional<std::uint64_t> call = parts_.links[i]->waits()) calls.push_back({static_cast<int>(i), *call});
  }
  return calls;
}

void Watch::abort_links(std::unique_lock<std::mutex>& lock) noexcept {
  const std::vector<Watched*> links = parts_.links;
  lock.unlock();
  for (Watched* link : links) link->abort();
  lock.lock();
}

void Watch::replace(std::size_t place, Watched* link) {
  const std::lock_guard lock(mutex_);
  parts_.links[place] = link;
}

std::exception_ptr Watch::failure() const { return std::make_exception_ptr(Error(ErrorKind::rank, verdict_->message)); }

void Watch::suspect(int rank, const std::string& why, const Watched& link) {
  const std::lock_guard lock(mutex_);
  health_.suspect(rank, why, now());
  const auto at = std::find(parts_.links.begin(), parts_.links.end(), &link);
  broken_.push_back({static_cast<int>(at - parts_.links.begin()), link.state().done});
}

void Watch::explain(const Watched& link) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return ended(link); });
  throw_end();
}

void Watch::explain(const Watched& link, const std::string& engine_says) {
  std::unique_lock lock(mutex_);
  if (changed_.wait_for(lock, 2 * options_.grace, [&] { return ended(link); })) throw_end();
  throw Error(ErrorKind::rank, fmt::format("ranks cannot exchange anything: {}", engine_says));
}

void Watch::throw_end() const {
  if (verdict_) std::rethrow_exception(failure());
  throw Error(ErrorKind::rank, own_end());
}

std::string Watch::own_end() const {
  if (own_.state == State::failed) return fmt::format("rank {}, this one, has failed: {}", options_.rank, own_.message);
  return fmt::format("rank {}, this one, has left the others", options_.rank);
}

void Watch::on_failure(std::function<void(std::exception_ptr)> told) {
  const std::lock_guard telling(telling_);
  std::unique_lock lock(mutex_);
  const bool known = verdict_.has_value();
  lock.unlock();
  if (known && told) {
    told(failure());
  } else {
    told_ = std::move(told);
  }
}

bool Watch::end(std::unique_lock<std::mutex>& lock, State state, const std::string& message) {
  if (own_.state != State::running) return false;
  own_.state = state;
  own_.message = message;
  publish();
  abort_links(lock);
  return beat_.has_value();
}

void Watch::fail(const std::string& reason) noexcept {
  std::unique_lock lock(mutex_);
  if (own_.state == State::running) patience_ends_ = now() + kLongestFarewell + group_options_.patience;
  if (!end(lock, State::failed, core::first_line(reason))) return;
  changed_.wait_for(lock, kLongestFarewell, [&] { return health_.heard_by_all(); });
  if (patience_ends_) patience_ends_ = now() + group_options_.patience;
  beat_->stop();
}

void Watch::leave() noexcept {
  std::unique_lock lock(mutex_);
  patience_ends_.reset();
  if (end(lock, State::left, "")) {
    changed_.wait_for(lock, kLongestFarewell, [&] { return beat_->news().lost || beat_->news().told >= said_; });
    if (parts_.keeps_store) changed_.wait_for(lock, options_.timeout, [&] { return health_.alone(); });
    beat_->stop();
  } else if (own_.state == State::stopped && parts_.keeps_store) {
    // Where the store went before the others have heard, they would take this rank for the one that failed.
    changed_.wait_for(lock, kLongestFarewell, [&] { return health_.heard_by_all(); });
  }
}

}  // namespace gsnake::dist
