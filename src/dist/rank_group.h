// A process among the ranks that run each step together, on c10d's engines. What a rank that fails does to the others: docs/ranks.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "greedysnake/config.h"
#include "runtime/agreement.h"
#include "runtime/collective.h"

namespace gsnake::sim {
struct LinkProfile;
}

namespace gsnake::dist {

class DeviceLink;        // dist/device_link.h
struct DeviceLinkParts;
using ConnectDevice = std::function<std::unique_ptr<DeviceLink>(const DeviceLinkParts&)>;

// Agreements that run beside one another, each on a thread of its own.
enum class Channel : std::uint8_t { outcomes, commits, control };
inline constexpr int kChannels = 3;

struct RankGroupOptions {
  // Called on the group's own thread with what went wrong, once, when a rank has failed, this one or another, and this one is still in the group `patience` later
  // (after its own failure, from when the others have learned of it, or should have): it hangs somewhere that no abort reaches. Expected to end the process.
  std::function<void(const std::string& message)> last_resort;
  std::chrono::milliseconds patience{10'000};
};

// Thread-safe, but for what Collective and Agreement say of themselves. Outlived by nobody who uses its collective or agreements.
//
// A wait for other ranks has no deadline: computing one's share may take minutes. It ends when a rank has failed, is gone, or gave no sign of life for
// `ranks.timeout` seconds; then everything here that waits throws one and the same Error(rank), which names that rank and why, and so does
// every later call. All ranks name the same one.
class RankGroup {
 public:
  // Meets the others at MASTER_ADDR and MASTER_PORT. Throws Error(usage) where these are not set, and Error(rank), which says who has not come, when not
  // all are there after `ranks.timeout` seconds. A group of one rank needs no environment and nobody else.
  static std::shared_ptr<RankGroup> join(const RanksConfig& ranks, const RankGroupOptions& options = {});
  // leave(), where nothing failed. Waits for nobody who could hang.
  ~RankGroup();
  RankGroup(const RankGroup&) = delete;
  RankGroup& operator=(const RankGroup&) = delete;

  [[nodiscard]] int rank() const;
  [[nodiscard]] int count() const;

  // For memory of the device that use_device() connected; of the CPU's otherwise. Needs reserve() before its first reduce_scatter.
  runtime::Collective& collective();
  // From now on the collective is that of ranks' devices, which `connect` connects. Every rank calls it at the same time; a second call does nothing.
  void use_device(const ConnectDevice& connect);
  runtime::Agreement& agreement(Channel channel);

  // What reduce_scatter keeps beside its slots, for parts of up to `largest_part` bytes: a few MiB a rank, however large they are. In host memory, or in that of devices.
  [[nodiscard]] static std::uint64_t scratch_bytes(int ranks, std::uint64_t largest_part, bool on_devices);
  // Every rank calls it at the same time.
  void reserve(std::uint64_t largest_part);

  // What was measured of the link between its ranks, for whoever asks next; null where nobody has. The thread that drives the group.
  void know_link(std::shared_ptr<const sim::LinkProfile> link) { link_ = std::move(link); }
  [[nodiscard]] const sim::LinkProfile* known_link() const { return link_.get(); }

  // `told` is called once, on the group's own thread, with what all waits throw, as soon as another rank's failure is known: at once where it is known
  // already. It only wakes somebody, and never calls back into the group. One at a time; an empty one: nobody, from when this returns.
  void on_failure(std::function<void(std::exception_ptr)> told);

  // This rank ends in failure: everything here that waits ends, and the others stop with "rank N failed: REASON". Takes up to 3 s, in which they learn of it.
  // Nothing where another rank has failed already: they know.
  void fail(const std::string& reason) noexcept;
  // This rank ends as it should: the others go on without it for as long as they do not wait for it. Whoever keeps the ranks' store (rank 0, unless a launcher
  // does) waits for the others, at most `ranks.timeout` seconds.
  void leave() noexcept;

 private:
  class Members;
  explicit RankGroup(std::unique_ptr<Members> members);
  const std::unique_ptr<Members> members_;
  std::shared_ptr<const sim::LinkProfile> link_;
};

}  // namespace gsnake::dist
