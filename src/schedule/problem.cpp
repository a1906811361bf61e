#include "schedule/problem.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/bytes.h"
#include "greedysnake/error.h"

namespace gsnake::schedule {
namespace {

constexpr std::uint64_t kAlignment = 4096;

bool is_fraction(double value) { return value >= 0.0 && value <= 1.0; }

void require(bool holds, const char* rule) {
  if (!holds) throw Error(ErrorKind::usage, std::string("schedule: ") + rule);
}

void validate_object(const Object& o) {
  require(o.elements > 0, "every object has parameters");
  require(o.packed() || kGrain * o.weight_bytes % kAlignment == 0, "weights that are not packed have 2 or 4 bytes");
  require(!o.packed() || !o.trained, "packed weights are frozen");
  require(o.trained || (o.state_bytes.empty() && !o.master), "what is frozen has no state");
  require(o.state_bytes.size() <= kMaxMoments + (o.master ? 1U : 0U), "an optimizer has at most 2 states beside the master weights");
  require(!o.master || !o.state_bytes.empty(), "master weights are state");
  require(o.master || !o.weights_derived, "weights are derived from a master that is stored");
  const Range range = o.range();
  require(range.begin % o.grain() == 0 && range.cells % o.grain() == 0, "what a rank owns begins and ends on a grain");
  require(range.begin <= o.cells() && range.cells <= o.cells() - range.begin, "what a rank owns lies in its object");
}

void validate_uses(const Problem& p) {
  std::set<int> used;
  for (const Unit& unit : p.units) {
    require(!unit.objects.empty(), "every unit has parameters");
    std::set<int> own;
    for (int object : unit.objects) {
      require(object >= 0 && object < p.object_count(), "units use objects that there are");
      require(own.insert(object).second, "a unit uses an object once");
    }
    used.merge(own);
  }
  require(static_cast<int>(used.size()) == p.object_count(), "every object is used");
}

void validate_ranks(const Problem& p) {
  require(p.ranks >= 1, "ranks is at least 1");
  require(p.rank >= 0 && p.rank < p.ranks, "a rank is one of them");
  if (p.ranks == 1) return;
  for (const Object& object : p.objects) require(object.range() == part_of(object, p.rank, p.ranks), "of several ranks each owns its part of every object");
}

void validate_guard(const Problem& p) {
  require(p.guard != Guard::deferred || !p.trains() || p.delay == 1.0, "deferred updates are delayed as a whole");
  if (p.guard != Guard::speculative) return;
  require(p.commits, "updates that may be done over need the last step committed");
  const bool on_ssd = p.weights.device + p.weights.host + p.optimizer.device + p.optimizer.host == 0.0;
  require(on_ssd || p.delay == 1.0, "updates that may be done over need their state on SSD as a whole");
}

}  // namespace

std::uint64_t Object::cells() const { return core::round_up(packed() ? packed_bytes : elements, grain()); }

bool Problem::trains() const {
  return std::any_of(objects.begin(), objects.end(), [](const Object& object) { return object.trained; });
}

std::vector<std::uint64_t> Problem::elements() const {
  std::vector<std::uint64_t> elements;
  for (const Object& object : objects) elements.push_back(object.elements);
  return elements;
}

std::uint64_t part_cells(const Object& object, int ranks) {
  return core::ceil_div(object.cells() / object.grain(), static_cast<std::uint64_t>(ranks)) * object.grain();
}

Range part_of(const Object& object, int rank, int ranks) {
  const std::uint64_t part = part_cells(object, ranks);
  const std::uint64_t begin = std::min(object.cells(), static_cast<std::uint64_t>(rank) * part);
  return {begin, std::min(part, object.cells() - begin)};
}

void share_out(Problem& problem, int rank, int ranks) {
  problem.rank = rank;
  problem.ranks = ranks;
  if (ranks == 1) return;
  for (Object& object : problem.objects) object.owned = part_of(object, rank, ranks);
}

void validate(const Problem& p) {
  require(p.unit_count() >= 2, "a model has at least an embedding and a head");
  require(p.micro_batches >= 1, "micro_batches is at least 1");
  require(is_fraction(p.delay) && is_fraction(p.gradients_host) && is_fraction(p.kept), "delay and placement fractions lie in 0..1");
  for (const Fractions& f : {p.weights, p.optimizer, p.activations}) {
    require(is_fraction(f.device) && is_fraction(f.host) && f.device + f.host <= 1.0 + 1e-9, "placement fractions lie in 0..1 and sum to at most 1");
  }
  require(p.chunk_elements >= kGrain && p.chunk_elements % kGrain == 0, "chunk_elements is a multiple of 2048");
  require(p.activation_bytes > 0, "activation_bytes is positive");
  require(p.ids_bytes > 0, "ids_bytes is positive");
  require(p.result_bytes > 0 && p.result_bytes % sizeof(double) == 0, "result_bytes is a positive multiple of 8");
  require(is_fraction(p.update_device), "the fraction that is updated on the device lies in 0..1");
  require(p.update_device == 0.0 || p.trains(), "what the device updates is trained");
  require(p.order == Order::ascending || p.schedule == ScheduleKind::vertical, "horizontal order is ascending");
  for (const Object& object : p.objects) validate_object(object);
  validate_uses(p);
  validate_guard(p);
  validate_ranks(p);
}

void add_unit(Problem& problem, Object object) {
  problem.units.push_back({{problem.object_count()}, 0.0});
  problem.objects.push_back(std::move(object));
}

std::vector<std::vector<int>> users_of(const Problem& problem) {
  std::vector<std::vector<int>> users(problem.objects.size());
  for (int unit = 0; unit < problem.unit_count(); ++unit) {
    for (int object : problem.uses(unit)) users[static_cast<std::size_t>(object)].push_back(unit);
  }
  return users;
}

int first_trained_unit(const Problem& problem) {
  const auto trains = [&](const Unit& unit) {
    return std::any_of(unit.objects.begin(), unit.objects.end(), [&](int object) { return problem.object(object).trained; });
  };
  return static_cast<int>(std::find_if(problem.units.begin(), problem.units.end(), trains) - problem.units.begin());
}

std::vector<bool> carried_objects(const Problem& problem) {
  std::vector<bool> carried(problem.objects.size(), false);
  if (problem.trains() && first_trained_unit(problem) > 0) return carried;
  for (int object : problem.uses(0)) carried[static_cast<std::size_t>(object)] = true;
  return carried;
}

std::uint64_t padded_elements(std::uint64_t elements) { return core::round_up(elements, kGrain); }

std::uint64_t rounded_part(double fraction, std::uint64_t padded, std::uint64_t grain) {
  const auto grains = static_cast<double>(padded / grain);
  return static_cast<std::uint64_t>(std::llround(fraction * grains)) * grain;
}

bool sums_on_device(const Problem& problem, std::size_t users) {
  return users == 1 && (problem.ranks == 1 || problem.schedule == ScheduleKind::vertical || problem.micro_batches == 1);
}

bool looks_on_device(const Problem& problem, std::size_t users) { return problem.norms_on_device && problem.ranks == 1 && users == 1; }

DeviceUpdates device_updates(const Problem& problem, const Object& object, std::size_t users) {
  if (!object.trained) return {};
  const std::uint64_t all = object.range().cells;
  const std::uint64_t eager = all - rounded_part(problem.delay, all);
  const std::uint64_t on_device = rounded_part(problem.update_device, all);
  return {sums_on_device(problem, users) ? std::min(eager, on_device) : 0, on_device - std::min(eager, on_device)};
}

bool leaves_updates(const Problem& problem) {
  if (problem.guard == Guard::speculative) return true;
  const auto is_delayed = [&](const Object& object) {
    if (!object.trained) return false;
    if (problem.ranks == 1) return rounded_part(problem.delay, object.range().cells) > 0;
    for (int rank = 0; rank < problem.ranks; ++rank) {
      if (rounded_part(problem.delay, part_of(object, rank, problem.ranks).cells) > 0) return true;
    }
    return false;
  };
  return std::any_of(problem.objects.begin(), problem.objects.end(), is_delayed);
}

double effective_delay(const Problem& problem) {
  std::uint64_t all = 0;
  std::uint64_t delayed = 0;
  for (const Object& object : problem.objects) {
    if (!object.trained) continue;
    all += object.range().cells;
    delayed += rounded_part(problem.delay, object.range().cells);
  }
  return all == 0 ? 0.0 : static_cast<double>(delayed) / static_cast<double>(all);
}

}  // namespace gsnake::schedule
