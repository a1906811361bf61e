// Random problems for property tests.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "schedule/graph.h"
#include "sweep.h"

namespace gsnake::schedule::test {

// Sanitizers slow this code down by an order of magnitude.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr int kSlowdown = 20;
#else
inline constexpr int kSlowdown = 1;
#endif

// How many seeds a sweep goes through that is of so many as a rule: fewer under a sanitizer, 20 times as many in a long run.
inline int sweep(int seeds, int slowdown = kSlowdown) { return gsnake::test::sweep(1, 20) * std::max(1, seeds / slowdown); }

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  std::uint64_t below(std::uint64_t bound) { return engine_() % bound; }
  int between(int low, int high) { return low + static_cast<int>(below(static_cast<std::uint64_t>(high - low + 1))); }
  bool coin() { return below(2) == 0; }
  double fraction() { return static_cast<double>(below(1001)) / 1000.0; }
  template <typename T>
  const T& one_of(const std::vector<T>& list) {
    return list[below(list.size())];
  }

 private:
  std::mt19937_64 engine_;
};

inline Fractions random_fractions(Random& random) {
  switch (random.below(5)) {
    case 0:
      return {1.0, 0.0};
    case 1:
      return {0.0, 1.0};
    case 2:
      return {0.0, 0.0};
    case 3:
      return {1.0 / 3, 1.0 / 3};
    default:
      break;
  }
  const double device = random.fraction();
  return {device, (1.0 - device) * random.fraction()};
}

// Sets the widths of an object that an optimizer with some states trains; none: it is frozen.
inline void draw_format(Object& object, Random& random) {
  object.weight_bytes = random.one_of<std::uint64_t>({2, 4});
  object.state_bytes.clear();
  for (int states = random.between(0, kMaxMoments); states > 0; --states) object.state_bytes.push_back(random.one_of<std::uint64_t>({2, 4}));
  object.trained = !object.state_bytes.empty();
  if (!object.trained || !random.coin()) return;
  object.master = true;
  object.weights_derived = random.coin();
  object.state_bytes.insert(object.state_bytes.begin(), object.weights_derived ? 4 : 2);
}

inline void draw_guard(Problem& p, Random& random) {
  p.commits = p.trains() && random.coin();
  if (!p.trains()) return;
  p.guard = random.one_of<Guard>({Guard::none, Guard::none, Guard::deferred, Guard::speculative});
  if (p.guard == Guard::deferred) p.delay = 1.0;
  if (p.guard == Guard::speculative) {
    p.commits = true;
    p.weights = p.optimizer = {0.0, 0.0};
  }
}

inline void draw_course(Problem& p, Random& random) {
  p.schedule = random.below(3) == 0 ? ScheduleKind::horizontal : ScheduleKind::vertical;
  p.order = p.schedule == ScheduleKind::vertical && random.below(3) != 0 ? Order::snake : Order::ascending;
  p.delay = random.one_of<double>({0.0, 0.25, 0.7, 1.0, random.fraction()});
}

inline void draw_places(Problem& p, Random& random) {
  p.weights = random_fractions(random);
  p.optimizer = random_fractions(random);
  p.activations = random_fractions(random);
  p.gradients_host = random.one_of<double>({0.0, 0.5, 1.0, random.fraction()});
  p.kept = random.one_of<double>({0.0, 0.0, 1.0, random.fraction()});
  p.chunk_elements = kGrain * random.one_of<std::uint64_t>({1, 3, 8, 512});
  draw_guard(p, random);
}

// In half of the problems the CPU makes all updates. A draw of its own: whatever else is drawn stays as it is.
inline void draw_updates(Problem& p, std::uint64_t seed) {
  Random random(seed + 77);
  if (p.trains()) p.update_device = random.one_of<double>({0.0, 0.0, 0.0, 1.0, 0.3, random.fraction()});
  p.norms_on_device = random.coin();
}

// A model as they are trained as a whole: an object a unit, all in one format, and maybe tied embeddings.
inline Problem random_problem(std::uint64_t seed) {
  Random random(seed);
  Problem p;
  const int units = random.between(2, 7);
  const std::uint64_t block = 1 + random.below(20 * kGrain);
  for (int unit = 0; unit < units; ++unit) {
    const bool alike = unit > 0 && unit + 1 < units && random.below(4) != 0;
    add_unit(p, {.elements = alike ? block : 1 + random.below(20 * kGrain)});
  }
  if (random.coin()) p.units.back().objects.push_back(0);
  p.activation_bytes = 1 + random.below(20000);
  p.ids_bytes = 8 * (1 + random.below(100));
  p.micro_batches = random.between(1, 6);
  p.result_bytes = 8 * (1 + static_cast<std::uint64_t>(p.micro_batches) % 3);
  draw_course(p, random);
  Object format;
  draw_format(format, random);
  for (Object& object : p.objects) {
    format.elements = object.elements;
    object = format;
  }
  draw_places(p, random);
  draw_updates(p, seed);
  return p;
}

// A table of objects of any shape: several a unit, several units on one, each in a format of its own, some frozen, some packed; maybe all
// of the first units are frozen.
inline Problem random_table(std::uint64_t seed) {
  Random random(seed);
  Problem p;
  const int units = random.between(2, 6);
  const int first_trained = random.below(3) == 0 ? random.between(0, units) : 0;
  const auto add_object = [&](bool may_train) {
    Object object;
    draw_format(object, random);
    object.elements = 1 + random.below((random.coin() ? 3 : 20) * kGrain);
    if (!may_train) object = {.elements = object.elements, .trained = false, .weight_bytes = object.weight_bytes, .state_bytes = {}};
    if (!object.trained && random.coin()) object.packed_bytes = 1 + random.below((random.coin() ? 2 : 12) * kPackedGrain);
    p.objects.push_back(object);
    return p.object_count() - 1;
  };
  for (int unit = 0; unit < units; ++unit) {
    std::vector<int> uses;
    for (int count = random.between(1, 3); count > 0; --count) uses.push_back(add_object(unit >= first_trained));
    // And what earlier units use: a frozen object at will, a trained one again.
    for (int object = 0; object + 1 < uses.front(); ++object) {
      if (random.below(4) == 0) uses.push_back(object);
    }
    p.units.push_back({uses, 0.0});
  }
  p.activation_bytes = 1 + random.below(20000);
  p.ids_bytes = 8 * (1 + random.below(100));
  p.micro_batches = random.between(1, 5);
  p.result_bytes = 8 * (1 + static_cast<std::uint64_t>(p.micro_batches) % 3);
  draw_course(p, random);
  draw_places(p, random);
  draw_updates(p, seed);
  return p;
}

// The table as one of several ranks has it: a part of each object is its own, now and then nothing.
inline Problem random_share(std::uint64_t seed) {
  Problem p = random_table(seed);
  Random random(seed + 1);
  for (Object& object : p.objects) {
    const std::uint64_t grains = object.cells() / object.grain();
    const std::uint64_t begin = random.below(grains);
    const std::uint64_t count = random.below(40) == 0 ? 0 : 1 + random.below(grains - begin);
    object.owned = Range{begin * object.grain(), count * object.grain()};
  }
  return p;
}

// A model, or a table, as one of several ranks that run each step together has it.
inline Problem random_ranks(std::uint64_t seed) {
  Random random(seed + 2);
  Problem p = random.coin() ? random_problem(seed) : random_table(seed);
  const int ranks = random.between(2, 5);
  share_out(p, random.between(0, ranks - 1), ranks);
  return p;
}

// A training problem that chunks, tiers and delays everything there is, yet is small.
inline Problem mixed_problem(ScheduleKind schedule, int units, int micro_batches) {
  Problem p;
  for (int unit = 0; unit < units; ++unit) {
    add_unit(p, {.elements = static_cast<std::uint64_t>(unit == 0 || unit + 1 == units ? 7 : 5) * kGrain});
  }
  p.units.back().objects.push_back(0);
  p.activation_bytes = 4096;
  p.ids_bytes = 64;
  p.micro_batches = micro_batches;
  p.schedule = schedule;
  p.order = schedule == ScheduleKind::vertical ? Order::snake : Order::ascending;
  p.delay = 0.4;
  p.weights = {0.2, 0.2};
  p.optimizer = {0.0, 0.2};
  p.activations = {0.2, 0.3};
  p.gradients_host = 0.5;
  p.chunk_elements = 4 * kGrain;
  p.commits = true;
  return p;
}

// Likewise, over a table of objects: an fp32 embedding that the head uses too, split bf16 blocks with a frozen base packed beside what is
// trained of it, one small object that every block uses; and below all that, if asked for, units that are frozen.
inline Problem mixed_table(ScheduleKind schedule, int micro_batches, int frozen_units) {
  Problem p = mixed_problem(schedule, 2, micro_batches);
  p.objects = {{.elements = 7 * kGrain}};
  p.units = {{{0}}};
  const auto add = [&](Unit& unit, Object object) {
    unit.objects.push_back(p.object_count());
    p.objects.push_back(std::move(object));
  };
  for (int block = 0; block < 3; ++block) {
    Unit unit;
    add(unit, {.elements = 9 * kGrain, .trained = false, .packed_bytes = 5 * kPackedGrain - 100, .state_bytes = {}});
    add(unit, {.elements = 3 * kGrain, .weight_bytes = 2, .state_bytes = {2, 4, 4}, .master = true});
    if (block > 0) unit.objects.push_back(3);
    if (block == 0) add(unit, {.elements = 2 * kGrain, .weight_bytes = 2, .state_bytes = {4, 4, 4}, .master = true, .weights_derived = true});
    p.units.push_back(unit);
  }
  p.units.push_back({{0}});
  add(p.units.back(), {.elements = 5 * kGrain, .trained = false, .weight_bytes = 2, .state_bytes = {}});
  for (int unit = 0; unit < frozen_units; ++unit) {
    p.units.insert(p.units.begin(), Unit{{p.object_count()}});
    p.objects.push_back({.elements = 6 * kGrain, .trained = false, .packed_bytes = 3 * kPackedGrain, .state_bytes = {}});
  }
  return p;
}

inline PoolSizes random_pools(const Problem& problem, std::uint64_t seed) {
  Random random(seed);
  PoolSizes sizes = minimum_pools(problem);
  if (random.coin()) return sizes;
  for (int& slots : sizes) slots += random.between(0, 4);
  return sizes;
}

inline std::string describe(const Object& o) {
  std::ostringstream text;
  text << o.elements << (o.packed() ? " in " + std::to_string(o.packed_bytes) + " B" : " of " + std::to_string(o.weight_bytes) + " B");
  for (std::uint64_t bytes : o.state_bytes) text << '+' << bytes;
  text << (o.trained ? "" : " frozen") << (o.weights_derived ? " whole master" : o.master ? " master" : "");
  if (o.owned) text << " owned " << o.owned->begin << '+' << o.owned->cells;
  return text.str();
}

inline std::string describe(const Problem& p) {
  std::ostringstream text;
  const auto put = [&](const char* name, const Fractions& f) { text << ", " << name << ' ' << f.device << '/' << f.host; };
  if (p.ranks > 1) text << "rank " << p.rank << " of " << p.ranks << ", ";
  text << "objects";
  for (const Object& object : p.objects) text << (&object == p.objects.data() ? " " : "; ") << describe(object);
  text << ", units";
  for (const Unit& unit : p.units) {
    for (int object : unit.objects) text << (&object == unit.objects.data() ? " " : "+") << object;
  }
  text << ", M " << p.micro_batches << (p.schedule == ScheduleKind::vertical ? ", vertical" : ", horizontal")
       << (p.order == Order::snake ? " snake" : " ascending") << ", delay " << p.delay
       << (p.guard == Guard::none ? "" : p.guard == Guard::deferred ? ", deferred" : ", speculative");
  put("weights", p.weights);
  put("optimizer", p.optimizer);
  put("activations", p.activations);
  if (p.update_device > 0.0) text << ", updates on the device " << p.update_device;
  if (p.norms_on_device) text << ", norms on the device";
  text << ", kept " << p.kept << ", gradients " << p.gradients_host << ", chunk " << p.chunk_elements << ", activation " << p.activation_bytes
       << (p.commits ? ", commits" : "");
  return text.str();
}

inline std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

inline std::vector<Variant> built_variants(const Program& program) {
  std::vector<Variant> variants;
  for (int i = 0; i < kVariantCount; ++i) {
    if (!program.graphs[static_cast<std::size_t>(i)].end_order.empty()) variants.push_back(static_cast<Variant>(i));
  }
  return variants;
}

}  // namespace gsnake::schedule::test
