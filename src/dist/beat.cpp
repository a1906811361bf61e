#include "dist/beat.h"

#include <fmt/format.h>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "core/threads.h"

namespace gsnake::dist {
namespace {

constexpr auto kPatience = std::chrono::seconds(1);

bool ends_something(const Record& before, const Record& after) {
  if (before.state != after.state) return true;
  for (std::size_t i = 0; i < before.links.size(); ++i) {
    if (before.links[i].left != after.links[i].left) return true;
  }
  return false;
}

std::vector<std::string> keys_of_all(int count) {
  std::vector<std::string> keys;
  for (int rank = 0; rank < count; ++rank) keys.push_back(key_of(rank));
  return keys;
}

}  // namespace

std::string key_of(int rank) { return fmt::format("rank-{}", rank); }

struct Beat::Shared {
  Shared(c10::intrusive_ptr<c10d::Store> of, int of_rank, int count, Span between) : store(std::move(of)), rank(of_rank), keys(keys_of_all(count)), interval(between) {}

  // Throws c10d's exceptions.
  [[nodiscard]] std::vector<Record> exchange(const Record& record) const {
    store->set(keys[static_cast<std::size_t>(rank)], written(record));
    std::vector<Record> records;
    for (const std::vector<std::uint8_t>& text : store->multiGet(keys)) records.push_back(read_record({reinterpret_cast<const char*>(text.data()), text.size()}));
    return records;
  }

  const c10::intrusive_ptr<c10d::Store> store;
  const int rank;
  const std::vector<std::string> keys;
  const Span interval;
  std::mutex mutex;
  std::condition_variable changed;
  Record own;
  std::uint64_t said = 0;
  News news;
  bool stopping = false;
  bool ended = false;
};

Beat::Beat(c10::intrusive_ptr<c10d::Store> store, int rank, int count, Span interval) : shared_(std::make_shared<Shared>(std::move(store), rank, count, interval)) {
  shared_->news.at = std::chrono::steady_clock::now();
  std::thread([shared = shared_] { run(shared); }).detach();
}

Beat::~Beat() {
  stop();
  std::unique_lock lock(shared_->mutex);
  shared_->changed.wait_for(lock, kPatience, [&] { return shared_->ended; });
}

std::uint64_t Beat::say(const Record& record) {
  const std::lock_guard lock(shared_->mutex);
  if (ends_something(shared_->own, record)) {
    ++shared_->said;
    shared_->changed.notify_all();
  }
  const std::uint64_t beat = shared_->own.beat;
  shared_->own = record;
  shared_->own.beat = beat;
  return shared_->said;
}

void Beat::stop() {
  const std::lock_guard lock(shared_->mutex);
  shared_->stopping = true;
  shared_->changed.notify_all();
}

Beat::News Beat::news() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->news;
}

void Beat::run(const std::shared_ptr<Shared>& shared) {
  core::set_thread_name("gs-beat");
  core::block_signals();
  std::unique_lock lock(shared->mutex);
  while (!shared->stopping && !shared->news.lost) {
    ++shared->own.beat;
    const Record own = shared->own;
    const std::uint64_t said = shared->said;
    lock.unlock();
    std::vector<Record> records;
    bool lost = false;
    try {
      records = shared->exchange(own);
    } catch (const std::exception&) {
      lost = true;  // nothing of it says more than that
    }
    lock.lock();
    if (lost) {
      shared->news.lost = true;
    } else {
      shared->news = {std::move(records), std::chrono::steady_clock::now(), false, said};
    }
    shared->changed.notify_all();
    shared->changed.wait_for(lock, shared->interval, [&] { return shared->stopping || shared->said != said; });
  }
  shared->ended = true;
  shared->changed.notify_all();
}

}  // namespace gsnake::dist
