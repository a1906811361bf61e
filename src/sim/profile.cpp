#include "sim/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "greedysnake/error.h"
#include "io/durable.h"
#include "io/replace_file.h"

namespace gsnake::sim {
namespace {

double last_rate(const RateCurve& curve) { return curve.empty() ? 0.0 : curve.back().per_second; }

// At every number in flight that any of them knows, what they do together. Where one has no limit, all have none.
RateCurve sum_of(const std::vector<SsdProfile>& ssds, RateCurve SsdProfile::* curve) {
  std::set<double> points;
  for (const SsdProfile& ssd : ssds) {
    if ((ssd.*curve).empty()) return {};
    for (const RatePoint& point : ssd.*curve) points.insert(point.in_flight);
  }
  RateCurve sum;
  for (const double in_flight : points) {
    RatePoint& point = sum.emplace_back(RatePoint{in_flight, 0.0});
    for (const SsdProfile& ssd : ssds) point.per_second += rate_at(ssd.*curve, in_flight);
  }
  return sum;
}

// Weighed by what each reads.
double mean_both(const std::vector<SsdProfile>& ssds) {
  double weights = 0.0;
  double sum = 0.0;
  for (const SsdProfile& ssd : ssds) {
    const double weight = ssd.read.empty() ? 1.0 : last_rate(ssd.read);
    weights += weight;
    sum += weight * ssd.both;
  }
  return sum / weights;
}

// Of so many ranks that have as much in flight each: what one of them gets.
void divide(RateCurve& curve, double ranks) {
  for (RatePoint& point : curve) {
    point.in_flight /= ranks;
    point.per_second /= ranks;
  }
}

std::string joined(const std::string& before, const std::string& more) { return before.empty() || more.empty() ? before + more : before + " + " + more; }

}  // namespace

double rate_at(const RateCurve& curve, double in_flight) {
  const auto after = std::ranges::lower_bound(curve, in_flight, {}, &RatePoint::in_flight);
  if (after == curve.end()) return last_rate(curve);
  if (after == curve.begin()) return after->per_second;
  const RatePoint& before = *(after - 1);
  const double part = (in_flight - before.in_flight) / (after->in_flight - before.in_flight);
  return before.per_second + part * (after->per_second - before.per_second);
}

double MachineProfile::flops_per_second(std::string_view dtype, double tokens) const {
  const auto rate = std::ranges::find(compute.rates, dtype, &ComputeRate::dtype);
  if (rate == compute.rates.end()) return 0.0;
  return rate->half_tokens == 0.0 ? rate->per_second : rate->per_second * tokens / (tokens + rate->half_tokens);
}

ComputeRate rate_through(const std::string& dtype, const TokenRate& fewer, const TokenRate& more) {
  constexpr double kNearlyInProportion = 0.9;
  const double steeper = more.tokens / fewer.tokens;  // of rates, where all time is spent on what does not grow with the tokens
  const double rise = std::clamp(more.per_second / fewer.per_second, 1.0, 1.0 + kNearlyInProportion * (steeper - 1.0));
  const double half = steeper > 1.0 ? more.tokens * (rise - 1.0) / (steeper - rise) : 0.0;
  return {dtype, more.per_second * (more.tokens + half) / more.tokens, half};
}

const UnitSeconds* MachineProfile::find_unit(std::string_view unit_key) const {
  const auto unit = std::ranges::find(compute.units, unit_key, &UnitTime::key);
  return unit == compute.units.end() ? nullptr : &unit->seconds;
}

SsdProfile MachineProfile::drives() const {
  if (ssds.size() == 1) return ssds.front();
  SsdProfile all;
  all.both = 2.0;
  if (ssds.empty()) return all;
  all.read = sum_of(ssds, &SsdProfile::read);
  all.write = sum_of(ssds, &SsdProfile::write);
  all.both = mean_both(ssds);
  const bool all_rated = std::ranges::all_of(ssds, [](const SsdProfile& ssd) { return ssd.rated_terabytes > 0.0; });
  for (const SsdProfile& ssd : ssds) {
    all.path = joined(all.path, ssd.path);
    all.drive = joined(all.drive, ssd.drive);
    if (all_rated) all.rated_terabytes += ssd.rated_terabytes;
  }
  return all;
}

MachineProfile share_of(const MachineProfile& machine, int local_ranks, const std::vector<bool>& own_drives) {
  MachineProfile own = machine;
  if (local_ranks == 1) return own;
  const double ranks = local_ranks;
  own.cpu.cores /= ranks;
  own.cpu.dram /= ranks;
  own.cpu.memory /= static_cast<std::uint64_t>(local_ranks);
  own.optimizer.threads = std::max(1, own.optimizer.threads / local_ranks);
  for (std::size_t i = 0; i < own.ssds.size(); ++i) {
    if (!own_drives.empty() && own_drives[std::min(i, own_drives.size() - 1)]) continue;
    divide(own.ssds[i].read, ranks);
    divide(own.ssds[i].write, ranks);
    own.ssds[i].rated_terabytes /= ranks;
  }
  return own;
}

MachineProfile load_profile(const std::string& path) {
  std::optional<std::string> text;
  std::error_code code(ENOENT, std::generic_category());
  try {
    text = io::read_whole_file(path);
  } catch (const Error& error) {
    code = error.code();
  }
  if (!text) throw Error(ErrorKind::input, fmt::format("cannot read the machine profile {}: {}; check the path", path, code.message()), code);
  return parse_profile(*text, path);
}

void save_profile(const MachineProfile& profile, const std::string& path) { io::replace_file(path, to_toml(profile)); }

}  // namespace gsnake::sim
