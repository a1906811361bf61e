#include "plan/alternatives.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

#include "greedysnake/error.h"
#include "plan/extrapolation.h"

namespace gsnake::plan {
namespace {

// A key whose value, made smaller, makes a run smaller.
struct Knob {
  const char* key;
  bool changes_maths;
  int steps_per_unit;  // of the values that are tried: whole numbers, or hundredths of a fraction
  int least;
  double (*read)(const Config&);
  void (*write)(Config&, double);
  bool shared = false;  // among ranks, in equal parts
};

constexpr int kHundredths = 100;

// By how many bytes needs that may be `factor` times as much exceed the budgets, in the tier where that is worst, or the one memory of both.
double beyond_budgets(const std::vector<MemoryItem>& items, const Config& config, const Setting& setting, double factor) {
  const double host = static_cast<double>(bytes_of(items, "host")) * factor;
  const double device = static_cast<double>(bytes_of(items, "device")) * factor;
  const double beyond = std::max(host - static_cast<double>(config.memory.host_budget), device - static_cast<double>(config.memory.device_budget));
  return setting.one_memory ? std::max(beyond, host + device - static_cast<double>(*setting.one_memory)) : beyond;
}

std::int64_t whole(double value) { return std::llround(value); }

void set(double& place, double value) { place = value; }
void set(std::int64_t& place, double value) { place = whole(value); }

// Of the number at Place()(config).
template <typename Place>
constexpr Knob knob(const char* key, bool changes_maths, int steps_per_unit, int least, Place) {
  return {key, changes_maths, steps_per_unit, least, [](const Config& config) { return static_cast<double>(Place()(config)); },
          [](Config& config, double value) { set(Place()(config), value); }};
}
template <typename Place>
constexpr Knob fraction(const char* key, Place place) {
  return knob(key, false, kHundredths, 0, place);
}
template <typename Place>
constexpr Knob count(const char* key, Place place) {
  return knob(key, true, 1, 1, place);
}

constexpr Knob shared(Knob knob) {
  knob.shared = true;
  return knob;
}

constexpr std::array kKnobs{
    fraction("placement.kept.device", [](auto& c) -> auto& { return c.placement.kept.device; }),
    fraction("placement.update.device", [](auto& c) -> auto& { return c.placement.update.device; }),
    fraction("placement.gradients.host", [](auto& c) -> auto& { return c.placement.gradients.host; }),
    fraction("placement.optimizer.host", [](auto& c) -> auto& { return c.placement.optimizer.host; }),
    fraction("placement.optimizer.device", [](auto& c) -> auto& { return c.placement.optimizer.device; }),
    fraction("placement.weights.host", [](auto& c) -> auto& { return c.placement.weights.host; }),
    fraction("placement.weights.device", [](auto& c) -> auto& { return c.placement.weights.device; }),
    fraction("placement.activations.host", [](auto& c) -> auto& { return c.placement.activations.host; }),
    fraction("placement.activations.device", [](auto& c) -> auto& { return c.placement.activations.device; }),
    fraction("train.delay", [](auto& c) -> auto& { return c.train.delay; }),
    Knob{"run.snapshot_every", false, 1, 0, [](const Config& c) { return c.run.snapshot_every > 0 ? 1.0 : 0.0; },
         [](Config& c, double) { c.run.snapshot_every = 0; }},
    shared(count("train.micro_batches", [](auto& c) -> auto& { return c.train.micro_batches; })),
    count("train.micro_batch_size", [](auto& c) -> auto& { return c.train.micro_batch_size; }),
    count("train.sequence_length", [](auto& c) -> auto& { return c.train.sequence_length; }),
    count("train.head_chunk", [](auto& c) -> auto& { return c.train.head_chunk; }),
};

// Values of a knob, counted in its steps.
class Search {
 public:
  // The config exceeds its budgets by `excess`.
  Search(const Config& config, const Setting& setting, const Knob& knob, double excess)
      : config_(config), setting_(setting), knob_(knob), multiple_(knob.shared ? config.ranks.count : 1), excess_(excess) {}

  // The largest value below the config's with which the run fits.
  std::optional<double> run() {
    std::int64_t high = whole(std::ceil(knob_.read(config_) * knob_.steps_per_unit / multiple_ - 1e-9));
    std::int64_t low = knob_.least;
    if (low >= high) return std::nullopt;
    double above = excess_;
    double below = at(low);
    if (below > 0.0) return std::nullopt;
    for (int guesses = 0; high - low > 1; ++guesses) {
      const std::int64_t middle = guess(low, high, below, above, guesses);
      const double found = at(middle);
      (found > 0.0 ? high : low) = middle;
      (found > 0.0 ? above : below) = found;
    }
    return checked(low);
  }

 private:
  // What was found by extrapolation is planned as a whole, where that can be had.
  [[nodiscard]] std::optional<double> checked(std::int64_t step) const {
    constexpr int kTries = 5;
    for (int tries = 0; tries < kTries; ++tries) {
      const Config config = with(step);
      if (!is_extrapolated(config, setting_)) return value_of(step);
      const auto items = exact_requirements(config, setting_);
      if (!items || beyond_budgets(*items, config, setting_, 1.0) <= 0.0) return value_of(step);
      step -= std::max<std::int64_t>(1, (step << tries) / 32);
      if (step < knob_.least) break;
    }
    return std::nullopt;
  }

  // Needs grow nearly on a straight line; where a few guesses on it have not met the crossing, halving will.
  static std::int64_t guess(std::int64_t low, std::int64_t high, double below, double above, int guesses) {
    constexpr int kOnTheLine = 6;
    if (guesses >= kOnTheLine || !std::isfinite(above)) return low + (high - low) / 2;
    const auto part = static_cast<std::int64_t>(static_cast<double>(high - low) * (-below / (above - below)));
    return std::clamp(low + part, low + 1, high - 1);
  }

  [[nodiscard]] double value_of(std::int64_t step) const { return static_cast<double>(step * multiple_) / knob_.steps_per_unit; }

  [[nodiscard]] Config with(std::int64_t step) const {
    Config config = config_;
    knob_.write(config, value_of(step));
    return config;
  }

  [[nodiscard]] double at(std::int64_t step) const { return overshoot(with(step), setting_); }

  const Config& config_;
  const Setting& setting_;
  const Knob& knob_;
  const int multiple_;  // that each value is of
  const double excess_;
};

}  // namespace

double overshoot(const Config& config, const Setting& setting) {
  try {
    return beyond_budgets(requirements(config, setting), config, setting, is_extrapolated(config, setting) ? kMostOfExtrapolated : 1.0);
  } catch (const Error&) {  // what excludes one another
    return std::numeric_limits<double>::infinity();
  }
}

std::vector<Alternative> alternatives(const Config& config, const Setting& setting) {
  std::vector<Alternative> found;
  if (setting.purpose != Purpose::train) return found;  // the run that is sampled from has its config
  const double most = overshoot(config, setting);
  for (const Knob& knob : kKnobs) {
    const std::optional<double> value = Search(config, setting, knob, most).run();
    if (value) found.push_back({knob.key, fmt::format("{}", *value), knob.changes_maths});
  }
  return found;
}

std::uint64_t least_budget(const Config& config, const Setting& setting, const std::vector<MemoryItem>& items, const std::string& tier) {
  const double factor = is_extrapolated(config, setting) ? kMostOfExtrapolated : 1.0;
  const auto needed = static_cast<std::uint64_t>(static_cast<double>(bytes_of(items, tier)) * factor);
  if (tier != "host") return needed;
  // Buffers whose size follows the budget grow with it, by a part of what it grows by.
  const std::uint64_t fixed = needed - std::min(needed, overheads_of(config, setting).snapshot_buffers);
  Config enough = config;
  for (std::uint64_t need = needed; need > enough.memory.host_budget; need = fixed + overheads_of(enough, setting).snapshot_buffers) {
    enough.memory.host_budget = need;
  }
  return enough.memory.host_budget;
}

}  // namespace gsnake::plan
