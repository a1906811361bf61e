#include "dist/device_collective.h"

#include <exception>

#include "core/first_line.h"
#include "dist/pieces.h"
#include "greedysnake/error.h"

namespace gsnake::dist {

std::uint64_t DeviceCollective::scratch_bytes(int ranks, std::uint64_t largest_part) { return static_cast<std::uint64_t>(ranks) * piece_of(largest_part); }

void DeviceCollective::reserve(std::uint64_t largest_part) {
  call([&] { link_->reserve(piece_of(largest_part)); });
}

void DeviceCollective::run(const device::ComputeScope& scope, const runtime::CollectiveCall& wanted) {
  call([&] { put_on_stream(scope, wanted); });
}

template <typename Calls>
void DeviceCollective::call(const Calls& calls) {
  if (left_) watch_.explain(*this);
  ++begun_;
  try {
    calls();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    watch_.explain(*this, core::first_line(error.what()));
  }
}

void DeviceCollective::put_on_stream(const device::ComputeScope& scope, const runtime::CollectiveCall& call) {
  std::byte* source = scope.address(call.source);
  std::byte* destination = scope.address(call.destination);
  if (call.op == schedule::Op::all_gather) {
    link_->all_gather(source, destination, call.part_bytes);
  } else {
    link_->reduce_scatter(source, destination, call.part_bytes);
  }
}

// What has not run by then never does, at any rank: as if no call had been made.
void DeviceCollective::abort() noexcept {
  if (left_.exchange(true)) return;
  if (!link_->idle()) begun_ = 0;
  link_->abort();
}

// A rank that has left before the last call never takes part in it.
std::optional<std::uint64_t> DeviceCollective::waits() const {
  const std::uint64_t begun = begun_;
  if (begun == 0) return std::nullopt;
  return begun - 1;
}

}  // namespace gsnake::dist
