#include "dist/meeting.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <future>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include "core/first_line.h"
#include "core/threads.h"
#include "dist/beat.h"
#include "dist/gloo.h"
#include "greedysnake/error.h"

namespace gsnake::dist {
namespace {

constexpr auto kBetweenLooks = std::chrono::milliseconds(20);
constexpr auto kLongCall = std::chrono::hours(24);     // as poll() takes it: whether the store answers is watched
constexpr auto kConnecting = std::chrono::seconds(5);  // at least, for ranks that have all come
constexpr auto kLastLook = std::chrono::seconds(2);    // of the others, whose time ends a little later, at who is missing

std::string job_key(int rank) { return fmt::format("job-{}", rank); }

std::string named(const std::vector<int>& ranks) { return fmt::format("{} {}", ranks.size() == 1 ? "rank" : "ranks", fmt::join(ranks, ", ")); }

// Of this meeting of this process, and no other.
std::string random_name() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}", random(), random(), random());
}

class Meeting {
 public:
  Meeting(MeetingPlace place, const RanksConfig& ranks, int groups)
      : place_(std::move(place)), ranks_(ranks), groups_(groups), ends_(std::chrono::steady_clock::now() + std::chrono::duration_cast<Span>(std::chrono::duration<double>(ranks.timeout))) {}

  Met meet() {
    while (true) {
      try {
        return try_to_meet();
      } catch (const c10::DistError& error) {
        if (left() <= std::chrono::milliseconds::zero()) throw Error(ErrorKind::rank, fmt::format("{} was gone before all ranks had come: {}; see its output", keeper(), core::first_line(error.what())));
      }
      // It may have been the store of the group before this one.
      std::this_thread::sleep_for(kBetweenLooks);
    }
  }

 private:
  [[nodiscard]] bool keeps_store() const { return ranks_.rank == 0 && !place_.launchers; }
  [[nodiscard]] std::string keeper() const { return fmt::format("{}, which keeps the ranks' store at {},", place_.launchers ? "the launcher" : "rank 0", place_.name()); }
  [[nodiscard]] std::chrono::milliseconds left() const { return std::chrono::duration_cast<std::chrono::milliseconds>(ends_ - std::chrono::steady_clock::now()); }

  Met try_to_meet() {
    Met met;
    met.store = store();
    take_place(*met.store);
    met.store->set(job_key(ranks_.rank), job());
    met.store->set(key_of(ranks_.rank), written(Record{}));
    wait_for_all(*met.store);
    met.groups = groups(met.store);
    met.store->setTimeout(kLongCall);
    return met;
  }

  [[nodiscard]] std::vector<c10::intrusive_ptr<c10d::Backend>> groups(const c10::intrusive_ptr<c10d::Store>& store) const {
    try {
      return make_gloo_groups(place_, store, ranks_.rank, ranks_.count, groups_, std::max<std::chrono::milliseconds>(left(), kConnecting));
    } catch (const Error&) {
      throw;
    } catch (const c10::DistError&) {
      if (const std::vector<int> gone = unconnected(*store); !gone.empty()) throw_gone(gone);
      throw;
    } catch (const std::exception& error) {
      throw Error(ErrorKind::rank, fmt::format("cannot connect to the other ranks: {}; see the network between the machines: GLOO_SOCKET_IFNAME names an interface to use", core::first_line(error.what())));
    }
  }

  // Of the others, those whose key is not there.
  template <typename KeyOf>
  [[nodiscard]] std::vector<int> without(c10d::Store& store, const KeyOf& key) const {
    std::vector<int> ranks;
    for (int rank = 0; rank < ranks_.count; ++rank) {
      if (rank != ranks_.rank && !store.check({key(rank)})) ranks.push_back(rank);
    }
    return ranks;
  }

  // Ranks that came, and of which the others wait for an address to connect to. It is this meeting's store: there is no other one to look for.
  [[nodiscard]] std::vector<int> unconnected(c10d::Store& store) const {
    std::vector<int> ranks;
    try {
      for (int group = 0; group < groups_ && ranks.empty(); ++group) ranks = without(store, [&](int rank) { return address_key(group, rank); });
    } catch (const c10::DistError& error) {
      throw Error(ErrorKind::rank, fmt::format("{} was gone before all ranks had connected: {}; see its output", keeper(), core::first_line(error.what())));
    }
    return ranks;
  }

  [[noreturn]] void throw_gone(const std::vector<int>& ranks) const {
    if (keeps_store()) std::this_thread::sleep_for(kLastLook);
    throw Error(ErrorKind::rank, fmt::format("{} came to {} and did not connect to the others: killed, crashed or hanging; see its output, then start all ranks again, and they go on from the last commit", named(ranks), place_.name()));
  }

  [[nodiscard]] c10::intrusive_ptr<c10d::Store> store() const {
    if (!keeps_store()) wait_for_keeper();
    try {
      return open_store(place_, keeps_store(), std::max<std::chrono::milliseconds>(left(), kConnecting));
    } catch (const c10::DistError& error) {
      if (!keeps_store()) throw;
      throw Error(ErrorKind::usage, fmt::format("MASTER_PORT = {}: rank 0 cannot listen there: {}; choose a free port", place_.port, core::first_line(error.what())));
    }
  }

  void wait_for_keeper() const {
    while (const std::optional<std::string> why = unreachable(place_)) {
      if (left() <= std::chrono::milliseconds::zero()) {
        throw Error(ErrorKind::rank, fmt::format("{} has not come: nobody answers at {} after {:g} s (ranks.timeout): {}; see whether it runs, and whether MASTER_ADDR and MASTER_PORT are the same everywhere",
                                                 place_.launchers ? "the launcher" : "rank 0", place_.name(), ranks_.timeout, *why));
      }
      std::this_thread::sleep_for(kBetweenLooks);
    }
  }

  void wait_for_all(c10d::Store& store) const {
    int next = 0;
    while (next < ranks_.count) {
      if (store.check({key_of(next)})) {
        if (next != ranks_.rank) refuse_other_job(next, store.get_to_str(job_key(next)));
        ++next;
      } else if (left() > std::chrono::milliseconds::zero()) {
        std::this_thread::sleep_for(kBetweenLooks);
      } else {
        throw_missing(store);
      }
    }
  }

  // Two jobs that were given one port would mix: the second to come with a number is the wrong one's.
  void take_place(c10d::Store& store) const {
    const std::string first = store.compareSet(fmt::format("process-{}", ranks_.rank), std::string(), process_);
    if (first == process_) return;
    throw Error(ErrorKind::usage, fmt::format("rank {} has come to {} already, in another process: another job meets there; choose a MASTER_PORT that no other job has, or end what is left of an earlier one",
                                              ranks_.rank, place_.name()));
  }

  // As far as a launcher says which it is.
  [[nodiscard]] std::string job() const { return fmt::format("{} {}", ranks_.count, place_.job); }

  void refuse_other_job(int rank, const std::string& text) const {
    const std::string count = text.substr(0, text.find(' '));
    const std::string id = text.substr(count.size() + 1);
    const bool as_many = count == std::to_string(ranks_.count);
    if (as_many && (id == place_.job || id.empty() || place_.job.empty())) return;
    if (keeps_store()) std::this_thread::sleep_for(kLastLook);
    throw Error(ErrorKind::usage, fmt::format("the rank {} that has come to {} is of another job, {}, and this one is of {}; choose a MASTER_PORT that no other job has", rank, place_.name(),
                                              as_many ? id : count + " ranks", as_many ? place_.job : std::to_string(ranks_.count)));
  }

  [[noreturn]] void throw_missing(c10d::Store& store) const {
    const std::vector<int> missing = without(store, key_of);
    if (keeps_store()) std::this_thread::sleep_for(kLastLook);
    throw Error(ErrorKind::rank, fmt::format("{} of {} {} not come to {} after {:g} s (ranks.timeout); see whether all were started, with the same MASTER_ADDR and MASTER_PORT", named(missing), ranks_.count,
                                             missing.size() == 1 ? "has" : "have", place_.name(), ranks_.timeout));
  }

  const MeetingPlace place_;
  const std::string process_ = random_name();
  const RanksConfig ranks_;
  const int groups_;
  const Time ends_;
};

}  // namespace

// On a thread that is left to itself when it hangs: whoever keeps the store may be stopped.
Met meet(const MeetingPlace& place, const RanksConfig& ranks, int groups) {
  std::packaged_task<Met()> task([meeting = std::make_shared<Meeting>(place, ranks, groups)] {
    core::set_thread_name("gs-meet");
    core::block_signals();  // nor do c10d's threads and Gloo's, which start here, take any
    return meeting->meet();
  });
  std::future<Met> met = task.get_future();
  std::thread(std::move(task)).detach();
  const auto patience = std::chrono::duration<double>(ranks.timeout) + 2 * kConnecting;
  if (met.wait_for(patience) == std::future_status::ready) return met.get();
  throw Error(ErrorKind::rank, fmt::format("{}, which keeps the ranks' store at {}, does not answer; see whether its process or its machine hangs", place.launchers ? "the launcher" : "rank 0", place.name()));
}

}  // namespace gsnake::dist
