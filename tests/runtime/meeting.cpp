#include "runtime/meeting.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

namespace gsnake::runtime::test {

class Meeting::Member final : public Collective {
 public:
  Member(Meeting& meeting, int rank) : meeting_(meeting), rank_(rank) {}
  [[nodiscard]] int ranks() const override { return meeting_.ranks(); }
  void abort() noexcept override { meeting_.leave(rank_); }

  void run(const device::ComputeScope& scope, const CollectiveCall& call) override {
    meeting_.come(rank_, {call, scope.address(call.source), {}});
    std::byte* destination = scope.address(call.destination);
    if (call.op == schedule::Op::all_gather) {
      gather(destination, call.part_bytes);
    } else {
      add_up(reinterpret_cast<float*>(destination), call.part_bytes);
    }
    // Nobody writes to a source before everybody has read it.
    std::unique_lock lock(meeting_.mutex_);
    meeting_.wait_for_all(lock);
  }

 private:
  void gather(std::byte* destination, std::uint64_t part_bytes) const {
    for (const Call& other : meeting_.calls_) {
      std::memcpy(destination, other.source, part_bytes);
      destination += part_bytes;
    }
  }
  void add_up(float* destination, std::uint64_t part_bytes) const {
    const std::size_t count = part_bytes / sizeof(float);
    for (std::size_t i = 0; i < count; ++i) {
      const auto of = [&](const Call& call) { return reinterpret_cast<const float*>(call.source)[static_cast<std::size_t>(rank_) * count + i]; };
      float sum = of(meeting_.calls_.front());
      for (std::size_t other = 1; other < meeting_.calls_.size(); ++other) sum += of(meeting_.calls_[other]);
      destination[i] = sum;
    }
  }

  Meeting& meeting_;
  const int rank_;
};

class Meeting::Voice final : public Agreement {
 public:
  Voice(Meeting& meeting, int rank) : meeting_(meeting), rank_(rank) {}
  [[nodiscard]] int ranks() const override { return meeting_.ranks(); }
  void abort() noexcept override { meeting_.leave(rank_); }

  void share(std::span<const double> own, std::span<double> all) override {
    meeting_.come(rank_, {{}, nullptr, own});
    for (const Call& other : meeting_.calls_) {
      if (other.said.size() != own.size()) throw std::logic_error("ranks do not say as much");
      all = all.subspan(static_cast<std::size_t>(std::copy(other.said.begin(), other.said.end(), all.begin()) - all.begin()));
    }
    std::unique_lock lock(meeting_.mutex_);
    meeting_.wait_for_all(lock);
  }

 private:
  Meeting& meeting_;
  const int rank_;
};

std::unique_ptr<Agreement> Meeting::agreement(int rank) { return std::make_unique<Voice>(*this, rank); }

std::unique_ptr<Collective> Meeting::rank(int rank) { return std::make_unique<Member>(*this, rank); }

void Meeting::come(int rank, const Call& call) {
  std::unique_lock lock(mutex_);
  calls_[static_cast<std::size_t>(rank)] = call;
  wait_for_all(lock);
  const CollectiveCall& first = calls_.front().call;
  if (call.call.op != first.op || call.call.part_bytes != first.part_bytes) throw std::logic_error("ranks do not make the same calls");
}

void Meeting::wait_for_all(std::unique_lock<std::mutex>& lock) {
  const int round = round_;
  if (left_ < 0 && ++here_ == ranks()) {
    here_ = 0;
    ++round_;
    changed_.notify_all();
    return;
  }
  changed_.wait(lock, [&] { return round_ != round || left_ >= 0; });
  if (round_ == round) throw std::runtime_error("rank " + std::to_string(left_) + " has left");
}

void Meeting::leave(int rank) noexcept {
  const std::lock_guard lock(mutex_);
  if (left_ < 0) left_ = rank;
  changed_.notify_all();
}

}  // namespace gsnake::runtime::test
