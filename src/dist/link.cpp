#include "dist/link.h"

#include <ATen/ops/from_blob.h>

#include <chrono>
#include <limits>

#include "core/first_line.h"
#include "dist/pipe_signal.h"

namespace gsnake::dist {
namespace {

constexpr std::chrono::milliseconds kForever = std::chrono::hours(24 * 365);  // c10d's waits have a deadline

}  // namespace

void Link::exchange(std::span<const Transfer> incoming, std::span<const Transfer> outgoing) {
  const NoPipeSignal no_signal;
  try {
    // What comes first: what is sent to a peer that has asked for it goes out at once.
    for (const Transfer& transfer : incoming) post(transfer, true);
    for (const Transfer& transfer : outgoing) post(transfer, false);
    wait_for_all();
  } catch (...) {
    land();
    throw;
  }
  land();
  tag_ = tag_ == std::numeric_limits<int>::max() ? 0 : tag_ + 1;
}

void Link::post(const Transfer& transfer, bool incoming) {
  if (transfer.bytes == 0) return;
  std::vector<at::Tensor> tensors{at::from_blob(transfer.data, {static_cast<std::int64_t>(transfer.bytes)}, at::kByte)};
  const std::lock_guard lock(mutex_);
  if (left_) throw LinkAborted();
  try {
    flights_.push_back({transfer.peer, incoming ? backend_->recv(tensors, transfer.peer, tag_) : backend_->send(tensors, transfer.peer, tag_)});
  } catch (const std::exception& error) {
    throw LinkBroken(transfer.peer, core::first_line(error.what()));
  }
}

void Link::wait_for_all() {
  for (const Flight& flight : flights_) {
    try {
      if (flight.work->wait(kForever)) continue;
    } catch (const std::exception& error) {
      throw LinkBroken(flight.peer, core::first_line(error.what()));
    }
    throw LinkAborted();
  }
}

// Gloo forgets the memory of an operation that is destroyed, in flight or not.
void Link::land() noexcept {
  const std::lock_guard lock(mutex_);
  flights_.clear();
}

void Link::abort() noexcept {
  const std::lock_guard lock(mutex_);
  left_ = true;
  for (const Flight& flight : flights_) flight.work->abort();
}

std::optional<std::uint64_t> Link::waits() const {
  const std::lock_guard lock(mutex_);
  if (flights_.empty()) return std::nullopt;
  return done_.load(std::memory_order_relaxed);
}

bool Link::connected(int peer) {
  std::byte nothing{};
  std::vector<at::Tensor> tensors{at::from_blob(&nothing, {1}, at::kByte)};
  try {
    backend_->recv(tensors, peer, 0);  // refused where the connection is closed; else given up here
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace gsnake::dist
