// An engine whose requests come late, out of order, damaged, or not at all, as a test says: in front of either real engine.
#pragma once

#include <algorithm>
#include <cassert>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "io/aligned_buffer.h"
#include "io/engine.h"

namespace gsnake::io::testing {

enum class Damage : std::uint8_t {
  none,
  flipped_bit,  // in what is read, or in what is written
  lost,         // a write that succeeds and changes nothing
  misdirected,  // a write that succeeds a page beside its place
};

// What becomes of one request.
struct Fate {
  std::chrono::microseconds delay{0};  // of its completion, after the transfer
  std::error_code error{};             // its answer, without a transfer
  Damage damage = Damage::none;
};

// Asked once for each request, in the order of submission, one at a time.
using Fates = std::function<Fate(const Request& request, const std::string& path)>;

class FaultyEngine final : public IoEngine {
 public:
  // `keep_alive`: what the engine inside borrows.
  FaultyEngine(std::unique_ptr<IoEngine> inside, Fates fates, std::shared_ptr<void> keep_alive = nullptr)
      : keep_alive_(std::move(keep_alive)), fates_(std::move(fates)), name_(inside->name()), inside_(std::move(inside)) {
    for (std::size_t i = 0; i < inside_->capacity(); ++i) free_.push_back(&flights_.emplace_back(*this));
    teller_ = std::thread([this] { tell_in_time(); });
  }
  ~FaultyEngine() override {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return free_.size() == flights_.size(); });
      stopping_ = true;
      changed_.notify_all();
    }
    teller_.join();
  }

  int add_file(const File& file) override {
    const int index = inside_->add_file(file);
    const std::lock_guard lock(mutex_);
    paths_.push_back(file.path());
    return index;
  }
  RegistrationReport register_buffer(std::span<std::byte> memory) override { return inside_->register_buffer(memory); }
  void withdraw_buffer(std::span<std::byte> memory) override { inside_->withdraw_buffer(memory); }
  [[nodiscard]] RegistrationReport registration() const override { return inside_->registration(); }

  [[nodiscard]] bool try_submit(std::span<const Request> requests) override {
    const std::lock_guard lock(mutex_);
    if (requests.size() > free_.size()) return false;
    std::vector<Request> rest;
    for (const Request& request : requests) {
      Flight& flight = *free_.back();
      free_.pop_back();
      if (prepare(flight, request)) rest.push_back(flight.sent);
    }
    // Its places come free before ours do.
    if (!inside_->try_submit(rest)) std::abort();
    return true;
  }
  [[nodiscard]] std::size_t in_flight() const noexcept override {
    const std::lock_guard lock(mutex_);
    return flights_.size() - free_.size();
  }
  [[nodiscard]] std::size_t capacity() const noexcept override { return flights_.size(); }
  [[nodiscard]] const std::string& name() const noexcept override { return name_; }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::uint64_t kPage = 4096;

  struct Flight final : Completion {
    explicit Flight(FaultyEngine& owner) : engine(owner) {}
    void on_complete(std::error_code code) noexcept override { engine.arrived(*this, code); }

    FaultyEngine& engine;
    Request asked;
    Request sent;
    Fate fate;
    std::optional<AlignedBuffer> copy;  // of what a write sends damaged
    std::error_code error;
    Clock::time_point due;
  };

  // Whether the engine inside is to carry it out.
  bool prepare(Flight& flight, const Request& request) {
    static const std::string kNone;
    const bool known = request.file >= 0 && static_cast<std::size_t>(request.file) < paths_.size();
    flight.fate = fates_(request, known ? paths_[static_cast<std::size_t>(request.file)] : kNone);
    flight.asked = flight.sent = request;
    flight.sent.completion = &flight;
    flight.error = flight.fate.error;
    flight.due = Clock::now() + flight.fate.delay;
    const bool writes = request.op == Direction::write;
    if (flight.error || (writes && flight.fate.damage == Damage::lost)) {
      late_.push_back(&flight);
      changed_.notify_all();
      return false;
    }
    if (writes && flight.fate.damage == Damage::misdirected) {
      flight.sent.offset = request.offset >= kPage ? request.offset - kPage : request.offset + kPage;
    }
    if (writes && flight.fate.damage == Damage::flipped_bit) {
      flight.copy.emplace(request.size);
      std::memcpy(flight.copy->data(), request.data, request.size);
      flip(flight.copy->data(), request);
      flight.sent.data = flight.copy->data();
    }
    return true;
  }

  static void flip(std::byte* data, const Request& request) { data[request.offset / kPage * 131 % request.size] ^= std::byte{16}; }

  void arrived(Flight& flight, std::error_code error) noexcept {
    if (!error && flight.asked.op == Direction::read && flight.fate.damage == Damage::flipped_bit) flip(flight.asked.data, flight.asked);
    std::unique_lock lock(mutex_);
    flight.error = error;
    if (flight.fate.delay.count() == 0) {
      tell(flight, lock);
      return;
    }
    flight.due = Clock::now() + flight.fate.delay;
    late_.push_back(&flight);
    changed_.notify_all();
  }

  void tell(Flight& flight, std::unique_lock<std::mutex>& lock) {
    Completion* const completion = flight.asked.completion;
    const std::error_code error = flight.error;
    flight.copy.reset();
    free_.push_back(&flight);
    ++telling_;
    lock.unlock();
    completion->on_complete(error);
    lock.lock();
    --telling_;
    changed_.notify_all();
  }

  void tell_in_time() {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (late_.empty()) {
        // A completion that is being told may submit more.
        if (stopping_ && telling_ == 0 && free_.size() == flights_.size()) return;
        changed_.wait(lock);
        continue;
      }
      const auto next = std::ranges::min_element(late_, {}, &Flight::due);
      if ((*next)->due > Clock::now()) {
        changed_.wait_until(lock, (*next)->due);
        continue;
      }
      Flight& flight = **next;
      late_.erase(next);
      tell(flight, lock);
    }
  }

  const std::shared_ptr<void> keep_alive_;
  const Fates fates_;
  const std::string name_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Flight> flights_;
  std::vector<Flight*> free_;
  std::vector<Flight*> late_;
  std::vector<std::string> paths_;
  std::size_t telling_ = 0;
  bool stopping_ = false;
  std::unique_ptr<IoEngine> inside_;
  std::thread teller_;
};

}  // namespace gsnake::io::testing
