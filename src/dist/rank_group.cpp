#include "dist/rank_group.h"

#include <fmt/format.h>

#include <atomic>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <utility>
#include <vector>

#include "core/first_line.h"
#include "dist/calls.h"
#include "dist/device_collective.h"
#include "dist/gloo.h"
#include "dist/meeting.h"
#include "greedysnake/error.h"

namespace gsnake::dist {
namespace {

constexpr auto kConnecting = std::chrono::seconds(30);

std::atomic<int> groups_joined{0};  // by this process: every rank's joins as often

std::vector<std::unique_ptr<Link>> make_links(std::vector<c10::intrusive_ptr<c10d::Backend>> groups) {
  groups.resize(kLinks + 1);
  std::vector<std::unique_ptr<Link>> links;
  for (auto& group : groups) links.push_back(std::make_unique<Link>(std::move(group)));
  return links;
}

Span span_of(double seconds) { return std::chrono::duration_cast<Span>(std::chrono::duration<double>(seconds)); }

HealthOptions health_options(const MeetingPlace& place, const RanksConfig& ranks) {
  HealthOptions options;
  options.rank = ranks.rank;
  options.count = ranks.count;
  options.timeout = span_of(ranks.timeout);
  options.launchers_store = place.launchers;
  options.place = place.name();
  options.quiet = std::min(options.quiet, options.timeout / 2);
  return options;
}

}  // namespace

// Links go after whoever uses them, and the store, which the watch keeps, after the watch.
class RankGroup::Members {
 public:
  Members(const MeetingPlace& place, const RanksConfig& ranks, const RankGroupOptions& options, Met met)
      : rank_(ranks.rank), count_(ranks.count), place_(place), links_(make_links(std::move(met.groups))), watch_(parts(place, std::move(met.store)), health_options(place, ranks), options), collective_(side(kChannels)) {
    for (int channel = 0; channel < kChannels; ++channel) agreements_.push_back(std::make_unique<LinkAgreement>(side(channel)));
  }

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int count() const { return count_; }
  Watch& watch() { return watch_; }
  runtime::Collective& collective() {
    if (on_device_) return *on_device_;
    return collective_;
  }
  LinkAgreement& agreement(Channel channel) { return *agreements_[static_cast<std::size_t>(channel)]; }

  void use_device(const ConnectDevice& connect) {
    if (count_ == 1 || on_device_) return;
    on_device_ = std::make_unique<DeviceCollective>(connected(connect), watch_, count_);
    watch_.replace(kChannels, on_device_.get());
  }
  void reserve(std::uint64_t largest_part) {
    if (on_device_) {
      on_device_->reserve(largest_part);
    } else {
      collective_.reserve(largest_part);
    }
  }

 private:
  // By a connection to the store of its own: the link waits there, and beats must not wait for that.
  std::unique_ptr<DeviceLink> connected(const ConnectDevice& connect) {
    try {
      return connect({c10::make_intrusive<c10d::PrefixStore>("device", open_store(place_, false, kConnecting)), rank_, count_});
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {
      watch_.explain(*links_[kChannels], core::first_line(error.what()));
    }
  }
  [[nodiscard]] Watch::Parts parts(const MeetingPlace& place, c10::intrusive_ptr<c10d::Store> store) const {
    Watch::Parts parts;
    parts.store = std::move(store);
    parts.keeps_store = rank_ == 0 && !place.launchers;
    for (int i = 0; i < kLinks; ++i) parts.links.push_back(links_[static_cast<std::size_t>(i)].get());
    parts.probe = links_.back().get();
    return parts;
  }
  Side side(int link) { return {*links_[static_cast<std::size_t>(link)], watch_, rank_, count_}; }

  const int rank_;
  const int count_;
  const MeetingPlace place_;
  const std::vector<std::unique_ptr<Link>> links_;
  std::unique_ptr<DeviceCollective> on_device_;
  Watch watch_;
  LinkCollective collective_;
  std::vector<std::unique_ptr<LinkAgreement>> agreements_;
};

std::shared_ptr<RankGroup> RankGroup::join(const RanksConfig& ranks, const RankGroupOptions& options) {
  MeetingPlace place;
  Met met;
  if (ranks.count > 1) {
    place = meeting_place();
    place.prefix += fmt::format("/{}", groups_joined++);
    met = meet(place, ranks, kLinks + 1);
  }
  return std::shared_ptr<RankGroup>(new RankGroup(std::make_unique<Members>(place, ranks, options, std::move(met))));
}

RankGroup::RankGroup(std::unique_ptr<Members> members) : members_(std::move(members)) {}
RankGroup::~RankGroup() { leave(); }

int RankGroup::rank() const { return members_->rank(); }
int RankGroup::count() const { return members_->count(); }
runtime::Collective& RankGroup::collective() { return members_->collective(); }
runtime::Agreement& RankGroup::agreement(Channel channel) { return members_->agreement(channel); }
void RankGroup::use_device(const ConnectDevice& connect) { members_->use_device(connect); }
std::uint64_t RankGroup::scratch_bytes(int ranks, std::uint64_t largest_part, bool on_devices) {
  return on_devices ? DeviceCollective::scratch_bytes(ranks, largest_part) : LinkCollective::scratch_bytes(ranks, largest_part);
}
void RankGroup::reserve(std::uint64_t largest_part) { members_->reserve(largest_part); }
void RankGroup::on_failure(std::function<void(std::exception_ptr)> told) { members_->watch().on_failure(std::move(told)); }
void RankGroup::fail(const std::string& reason) noexcept { members_->watch().fail(reason); }
void RankGroup::leave() noexcept { members_->watch().leave(); }

}  // namespace gsnake::dist
