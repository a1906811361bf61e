#include "dist/health.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace gsnake::dist {
namespace {

constexpr const char* kRemedy = "start all ranks again, and they go on from the last commit";

std::string seconds(Span span) { return fmt::format("{:g} s", std::round(std::chrono::duration<double>(span).count() * 10) / 10); }

std::string silent(int rank, Span timeout) {
  return fmt::format("rank {} gave no sign of life for {} (ranks.timeout); see whether its process or its machine hangs, then {}", rank, seconds(timeout), kRemedy);
}

// It takes part in no call after those that it has done.
bool misses(const Record& record, const Waiting& waiting) {
  const LinkState& link = record.links[static_cast<std::size_t>(waiting.link)];
  return (link.left || record.state == State::left) && link.done <= waiting.call;
}

}  // namespace

std::string failure_of(int rank, const std::string& reason) { return fmt::format("rank {} failed: {}; see its output, then {}", rank, reason, kRemedy); }

Health::Health(HealthOptions options, Time now) : options_(std::move(options)), others_(static_cast<std::size_t>(options_.count)), seen_(now) {
  for (Other& other : others_) other.changed = now;
}

void Health::saw(const std::vector<Record>& records, Time now) {
  if (now <= seen_) return;
  seen_ = now;
  for (std::size_t i = 0; i < others_.size(); ++i) {
    if (records[i].beat != others_[i].record.beat) others_[i].changed = now;
    others_[i].record = records[i];
  }
}

void Health::lost_store() { store_lost_ = true; }

void Health::suspect(int rank, const std::string& why, Time now) {
  Other& other = others_[static_cast<std::size_t>(rank)];
  if (other.suspected) return;
  other.suspected = now;
  other.suspicion = why;
}

void Health::gone(int rank) { others_[static_cast<std::size_t>(rank)].gone = true; }

void Health::was_away(Span length, Time now) {
  away_ = length;
  back_ = now;
  seen_ = now;
  for (Other& other : others_) other.changed = now;
}

std::vector<int> Health::quiet() const {
  std::vector<int> ranks;
  for (int rank = 0; rank < options_.count; ++rank) {
    const Other& other = others_[static_cast<std::size_t>(rank)];
    if (rank != options_.rank && !other.gone && other.record.state == State::running && quiet_for(other) >= options_.quiet) ranks.push_back(rank);
  }
  return ranks;
}

bool Health::alone() const {
  for (int rank = 0; rank < options_.count; ++rank) {
    const Other& other = others_[static_cast<std::size_t>(rank)];
    const bool dead = other.gone && quiet_for(other) >= options_.quiet;
    if (rank != options_.rank && other.record.state == State::running && !dead && quiet_for(other) < options_.timeout) return false;
  }
  return true;
}

// What ranks say of themselves, and then of others, comes before what is concluded: so that all say the same.
std::optional<Verdict> Health::told() const {
  for (const State state : {State::failed, State::stopped}) {
    for (int rank = 0; rank < options_.count; ++rank) {
      const Record& record = others_[static_cast<std::size_t>(rank)].record;
      if (rank == options_.rank || record.state != state) continue;
      if (state == State::failed) return Verdict{rank, failure_of(rank, record.message)};
      if (record.culprit != options_.rank) return Verdict{record.culprit, record.message};
      return Verdict{record.culprit, fmt::format("the other ranks have given up this one, as rank {} says: {}", rank, record.message)};
    }
  }
  return std::nullopt;
}

std::optional<Verdict> Health::of_store(Time now) const {
  const bool own = !options_.launchers_store && options_.rank == 0;
  if (!store_lost_ && (own || now - seen_ < options_.timeout)) return std::nullopt;
  if (!options_.launchers_store && others_[0].record.state == State::left) return std::nullopt;  // it waited for the others as long as it could
  if (!options_.launchers_store) return store_lost_ ? of_gone(0, now) : Verdict{0, silent(0, options_.timeout)};
  return Verdict{-1, fmt::format("the launcher, which keeps the ranks' store at {}, {}; see its output, then {}", options_.place,
                                 store_lost_ ? "is gone" : "does not answer for " + seconds(options_.timeout), kRemedy)};
}

Verdict Health::of_gone(int rank, Time now) const {
  if (back_ && now - *back_ < options_.timeout) {
    return {options_.rank, fmt::format("rank {}, this one, stood still for {} (was it stopped, or its machine?), and the others have gone on without it; {}", options_.rank, seconds(away_), kRemedy)};
  }
  return {rank, fmt::format("rank {} is gone: its connection closed without a word; it was killed or crashed: see its output and its machine's log, then {}", rank, kRemedy)};
}

std::optional<Verdict> Health::of(int rank, const std::vector<Waiting>& waiting, Time now) {
  Other& other = others_[static_cast<std::size_t>(rank)];
  const bool running = other.record.state == State::running;
  if (running && other.gone && quiet_for(other) >= options_.quiet) return of_gone(rank, now);
  if (running && quiet_for(other) >= options_.timeout) return Verdict{rank, silent(rank, options_.timeout)};
  if (std::none_of(waiting.begin(), waiting.end(), [&](const Waiting& one) { return misses(other.record, one); })) {
    other.missed.reset();
  } else if (!other.missed) {
    other.missed = now;
  }
  if (other.missed && (!running || now - *other.missed >= options_.grace)) {
    return Verdict{rank, fmt::format("rank {} has left, and the others wait for it; see its output, and whether all ranks run the same command", rank)};
  }
  if (other.suspected && now - *other.suspected >= options_.grace) {
    return Verdict{rank, fmt::format("the connection to rank {} broke: {}; see the network between the machines, then {}", rank, other.suspicion, kRemedy)};
  }
  return std::nullopt;
}

std::optional<Verdict> Health::verdict(const std::vector<Waiting>& waiting, Time now) {
  if (std::optional<Verdict> found = told()) return found;
  if (std::optional<Verdict> found = of_store(now)) return found;
  for (int rank = 0; rank < options_.count; ++rank) {
    if (rank == options_.rank) continue;
    if (std::optional<Verdict> found = of(rank, waiting, now)) return found;
  }
  return std::nullopt;
}

}  // namespace gsnake::dist
