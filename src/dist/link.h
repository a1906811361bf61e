// Bytes between this rank and the others, by one of c10d's process groups. Its sends and receives rather than its collectives: these name the peer that
// broke a connection, can be given up at any time, touch no memory after that, and keep no copies.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <vector>

#include "dist/record.h"

namespace gsnake::dist {

struct Transfer {
  int peer = 0;
  std::byte* data = nullptr;  // read where it is sent, written where it comes
  std::size_t bytes = 0;
};

// A peer's connection is closed.
struct LinkBroken : std::runtime_error {
  LinkBroken(int of, const std::string& why) : std::runtime_error(why), peer(of) {}
  int peer;
};
// abort() was called.
struct LinkAborted : std::runtime_error {
  LinkAborted() : std::runtime_error("this rank has left") {}
};

// Calls that all ranks make, as the watch sees them. Any thread.
class Watched {
 public:
  virtual ~Watched() = default;
  [[nodiscard]] virtual LinkState state() const = 0;
  // The call in which somebody waits.
  [[nodiscard]] virtual std::optional<std::uint64_t> waits() const = 0;
  // From now on there are no calls; those in flight end.
  virtual void abort() noexcept = 0;
};

// All ranks make the same calls in the same order; of each one or more exchanges. One thread makes them; the rest is for any.
class Link final : public Watched {
 public:
  explicit Link(c10::intrusive_ptr<c10d::Backend> backend) : backend_(std::move(backend)) {}  // null: a group of one, which exchanges nothing

  // Returns when all that comes is here and all that is sent may be written over; there is no deadline. Throws LinkBroken or LinkAborted, and then nobody
  // touches the memory any more.
  void exchange(std::span<const Transfer> incoming, std::span<const Transfer> outgoing);
  void finished() { done_.fetch_add(1, std::memory_order_relaxed); }  // a call
  void abort() noexcept override;

  [[nodiscard]] LinkState state() const override { return {done_.load(std::memory_order_relaxed), left_.load(std::memory_order_relaxed)}; }
  [[nodiscard]] std::optional<std::uint64_t> waits() const override;
  // Whether the peer's connection was open when it was last heard of. Not beside an exchange.
  [[nodiscard]] bool connected(int peer);

 private:
  struct Flight {
    int peer = 0;
    c10::intrusive_ptr<c10d::Work> work;
  };
  void post(const Transfer& transfer, bool incoming);
  void wait_for_all();
  void land() noexcept;

  const c10::intrusive_ptr<c10d::Backend> backend_;
  std::atomic<std::uint64_t> done_{0};
  std::atomic<bool> left_{false};
  int tag_ = 0;  // of this exchange
  mutable std::mutex mutex_;
  std::vector<Flight> flights_;  // written under the mutex, by the exchanging thread alone
};

}  // namespace gsnake::dist
