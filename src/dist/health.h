// From what is known of the other ranks: has one failed, which, and why? Decides; watches nothing itself, and knows no clock.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "dist/record.h"

namespace gsnake::dist {

using Time = std::chrono::steady_clock::time_point;
using Span = std::chrono::steady_clock::duration;

// What all ranks say of a failure.
struct Verdict {
  int rank = -1;  // whose fault it was; -1: nobody's among the ranks
  std::string message;
};

// Which call of a link this rank waits in: of as many as it has done before.
struct Waiting {
  int link = 0;
  std::uint64_t call = 0;
};

struct HealthOptions {
  int rank = 0;
  int count = 1;
  Span timeout{};              // ranks.timeout
  bool launchers_store = false;  // who keeps the ranks' store: the launcher, or rank 0
  std::string place;           // where it is
  Span quiet = std::chrono::seconds(2);  // without a beat, after which a rank is looked at
  Span grace = std::chrono::seconds(5);  // for a rank to say why it takes part no more
};

class Health {
 public:
  Health(HealthOptions options, Time now);

  // What the store held then, by rank. Nothing where that is no news.
  void saw(const std::vector<Record>& records, Time now);
  // The store answers no more: its keeper is gone.
  void lost_store();
  // An operation with that rank failed. The first one counts.
  void suspect(int rank, const std::string& why, Time now);
  // Its connections are closed.
  void gone(int rank);
  // This process itself stood still for so long (it was stopped, or its machine was): what it did not see meanwhile says nothing of the others.
  void was_away(Span length, Time now);

  // Ranks that gave no beat for a while: is their connection still there?
  [[nodiscard]] std::vector<int> quiet() const;
  [[nodiscard]] std::optional<Verdict> verdict(const std::vector<Waiting>& waiting, Time now);
  // Nobody else is left in the group, or alive: they have left, said that they failed or stopped, or are gone.
  [[nodiscard]] bool alone() const;
  // The others have said that they end, or cannot any more.
  [[nodiscard]] bool heard_by_all() const { return store_lost_ || alone(); }

 private:
  struct Other {
    Record record;
    Time changed;                   // when its beat did last
    bool gone = false;
    std::optional<Time> suspected;
    std::string suspicion;
    std::optional<Time> missed;     // since when this rank waits for it in vain
  };

  [[nodiscard]] std::optional<Verdict> told() const;
  [[nodiscard]] std::optional<Verdict> of_store(Time now) const;
  [[nodiscard]] Verdict of_gone(int rank, Time now) const;
  [[nodiscard]] std::optional<Verdict> of(int rank, const std::vector<Waiting>& waiting, Time now);
  [[nodiscard]] Span quiet_for(const Other& other) const { return seen_ - other.changed; }

  const HealthOptions options_;
  std::vector<Other> others_;  // by rank; its own is not looked at
  Time seen_;                  // the store, last
  bool store_lost_ = false;
  Span away_{};                // the last time that this process stood still
  std::optional<Time> back_;   // since when it does not any more
};

// A failed rank's own words as the others have them.
std::string failure_of(int rank, const std::string& reason);

}  // namespace gsnake::dist
