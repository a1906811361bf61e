// The collective lane's backend in a device's own memory, on a link that the device's plug-in has.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "dist/device_link.h"
#include "dist/link.h"
#include "dist/watch.h"
#include "runtime/collective.h"

namespace gsnake::dist {

// Calls return before they have run. One that a failed rank keeps from running is ended by the watch, with rubbish in memory: whoever makes a result count asks
// for an agreement after it, which throws.
class DeviceCollective final : public runtime::Collective, public Watched {
 public:
  DeviceCollective(std::unique_ptr<DeviceLink> link, Watch& watch, int count) : link_(std::move(link)), watch_(watch), count_(count) {}

  [[nodiscard]] int ranks() const override { return count_; }
  void run(const device::ComputeScope& scope, const runtime::CollectiveCall& wanted) override;
  void abort() noexcept override;

  [[nodiscard]] static std::uint64_t scratch_bytes(int ranks, std::uint64_t largest_part);
  void reserve(std::uint64_t largest_part);

  [[nodiscard]] LinkState state() const override { return {begun_, left_}; }
  [[nodiscard]] std::optional<std::uint64_t> waits() const override;

 private:
  template <typename Calls>
  void call(const Calls& calls);
  void put_on_stream(const device::ComputeScope& scope, const runtime::CollectiveCall& call);

  const std::unique_ptr<DeviceLink> link_;
  Watch& watch_;
  const int count_;
  std::atomic<std::uint64_t> begun_{0};  // calls, which are on the stream or about to be
  std::atomic<bool> left_{false};
};

}  // namespace gsnake::dist
