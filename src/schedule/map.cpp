#include "schedule/map.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>

#include "core/bytes.h"
#include "greedysnake/error.h"

namespace gsnake::schedule {
namespace {

constexpr std::uint64_t kGradientBytes = 4;  // gradients are fp32
constexpr std::uint64_t kAlignment = 4096;
constexpr std::uint64_t kPartialBytes = 8;   // norm partials and losses are double

bool is_fraction(double value) { return value >= 0.0 && value <= 1.0; }

void require(bool holds, const char* rule) {
  if (!holds) throw Error(ErrorKind::usage, std::string("schedule: ") + rule);
}

// Which gradients of `user` must wait somewhere before the object's update: sums that a later micro-batch continues, and the head's
// share of a tied object.
bool has_partial(const Problem& problem, int object, int user) {
  const bool split = problem.schedule == ScheduleKind::horizontal && problem.micro_batches > 1;
  if (!problem.trains()) return false;
  return user == 0 ? split : problem.tied && object == 0;
}

class MapBuilder {
 public:
  MapBuilder(const Problem& problem, const PoolSizes& sizes) : sizes_(sizes) { map_.problem = problem; }

  Map build() {
    for (int object = 0; object < map_.problem.units(); ++object) cut(object);
    map_.first_chunk.push_back(static_cast<int>(map_.chunks.size()));
    for (Chunk& chunk : map_.chunks) add_homes(chunk);
    add_results();
    add_pools();
    for (Chunk& chunk : map_.chunks) add_extents(chunk);
    place_activations();
    return std::move(map_);
  }

 private:
  void cut(int object) {
    const Problem& p = map_.problem;
    const std::uint64_t all = padded_elements(p.elements[object]);
    const std::uint64_t eager = p.trains() ? all - rounded_part(p.delay, all) : all;
    const Tiers weight = tiers(p.weights, all);
    const Tiers state = tiers(p.optimizer, all);
    const std::uint64_t gradient_host = eager + rounded_part(p.gradients_host, all - eager);
    const std::uint64_t partial_host = rounded_part(p.gradients_host, all);
    std::set<std::uint64_t> cuts{0, all, eager, weight.device, weight.host, state.device, state.host, gradient_host};
    if (has_partial(p, object, 0) || has_partial(p, object, 1) || p.guard == Guard::speculative) cuts.insert(partial_host);
    map_.first_chunk.push_back(static_cast<int>(map_.chunks.size()));
    for (auto from = cuts.begin(), to = std::next(from); to != cuts.end(); ++from, ++to) {
      // Equal pieces rather than full ones and a remainder: an even pipeline.
      const std::uint64_t pieces = core::ceil_div(*to - *from, p.chunk_elements);
      const std::uint64_t piece = core::round_up(core::ceil_div(*to - *from, pieces), kGrain);
      for (std::uint64_t begin = *from; begin < *to; begin += piece) {
        Chunk chunk;
        chunk.object = object;
        chunk.begin = begin;
        chunk.elements = std::min(piece, *to - begin);
        chunk.weight_tier = weight.of(begin);
        chunk.state_tier = state.of(begin);
        chunk.delayed = begin >= eager;
        chunk.gradient_waits = p.trains() && (chunk.delayed || p.guard == Guard::speculative);
        // One waiting place per chunk: a delayed chunk's follows the delayed split, an eager one's the whole object's.
        chunk.gradient_tier = begin < (chunk.delayed ? gradient_host : partial_host) ? Tier::host : Tier::ssd;
        map_.chunks.push_back(chunk);
      }
    }
  }

  struct Tiers {
    std::uint64_t device = 0;  // elements before this one are on the device,
    std::uint64_t host = 0;    // before this one in host memory, the rest on ssd
    [[nodiscard]] Tier of(std::uint64_t element) const { return element < device ? Tier::device : element < host ? Tier::host : Tier::ssd; }
  };

  static Tiers tiers(const Fractions& fractions, std::uint64_t all) {
    return {rounded_part(fractions.device, all), rounded_part(std::min(1.0, fractions.device + fractions.host), all)};
  }

  int add_home(Space space, std::uint64_t bytes, std::string name) {
    map_.buffers.push_back({space, bytes, -1, std::move(name)});
    return static_cast<int>(map_.buffers.size()) - 1;
  }

  int home_for(Tier tier, std::uint64_t bytes, const char* name) {
    if (tier == Tier::ssd) return -1;
    return add_home(tier == Tier::device ? Space::device : Space::host, bytes, name);
  }

  void add_homes(Chunk& chunk) {
    const Problem& p = map_.problem;
    chunk.weight_home = home_for(chunk.weight_tier, chunk.elements * p.weight_bytes, "weights");
    for (std::size_t k = 0; k < p.state_bytes.size(); ++k) {
      chunk.state_home[k] = home_for(chunk.state_tier, chunk.elements * p.state_bytes[k], "optimizer state");
    }
    const std::uint64_t bytes = chunk.elements * kGradientBytes;
    if (chunk.gradient_waits) chunk.gradient_home = home_for(chunk.gradient_tier, bytes, "gradients that wait");
    if (p.trains()) chunk.norm_home = add_home(Space::host, chunk.elements / kGrain * kPartialBytes, "norm partials");
    for (int user = 0; user < 2; ++user) {
      if (has_partial(p, chunk.object, user)) chunk.partial_home[user] = home_for(chunk.gradient_tier, bytes, "gradient sums");
    }
  }

  void add_results() {
    map_.losses_home = add_home(Space::host, static_cast<std::uint64_t>(map_.problem.micro_batches) * kPartialBytes, "losses");
    if (map_.problem.trains()) map_.outcome_home = add_home(Space::host, kPartialBytes, "outcome");
  }

  void add_pool(PoolRole role, Space space, std::uint64_t bytes, std::string name) {
    const std::size_t index = map_.pools.size();
    const int slots = index < sizes_.size() ? sizes_[index] : 1;
    map_.pools.push_back({role, space, bytes, slots, static_cast<int>(map_.buffers.size()), name});
    for (int slot = 0; slot < slots; ++slot) map_.buffers.push_back({space, bytes, static_cast<int>(index), name});
  }

  void add_pools() {
    const Problem& p = map_.problem;
    std::uint64_t chunk_bytes = 0;
    std::set<std::uint64_t> weight_sizes;
    std::set<std::uint64_t> gradient_sizes;
    std::uint64_t widest = std::max<std::uint64_t>(p.weight_bytes, p.trains() ? kGradientBytes : 0);
    for (std::uint64_t bytes : p.state_bytes) widest = std::max(widest, bytes);
    for (const Chunk& chunk : map_.chunks) chunk_bytes = std::max(chunk_bytes, chunk.elements * widest);
    for (int object = 0; object < p.units(); ++object) {
      weight_sizes.insert(map_.object_bytes(object));
      if (p.trains()) gradient_sizes.insert(map_.gradient_bytes(object));
    }
    add_pool(PoolRole::host_chunk, Space::host, chunk_bytes, "chunks");
    add_pool(PoolRole::host_activation, Space::host, map_.slot_activation_bytes(), "activation checkpoints");
    add_pool(PoolRole::device_activation, Space::device, map_.slot_activation_bytes(), "activations");
    for (std::uint64_t bytes : weight_sizes) add_pool(PoolRole::device_weights, Space::device, bytes, "weights");
    for (std::uint64_t bytes : gradient_sizes) add_pool(PoolRole::device_gradients, Space::device, bytes, "gradient accumulators");
    if (p.guard == Guard::speculative) add_pool(PoolRole::host_redo, Space::host, chunk_bytes, "updates done over");
  }

  int add_extent(ExtentKind kind, int object, std::uint64_t offset, std::uint64_t bytes) {
    map_.extents.push_back({kind, object, offset, bytes});
    return static_cast<int>(map_.extents.size()) - 1;
  }

  void add_extents(Chunk& chunk) {
    const Problem& p = map_.problem;
    const auto at = [&](ExtentKind kind, int object, std::uint64_t width) {
      return add_extent(kind, object, chunk.begin * width, chunk.elements * width);
    };
    chunk.weight_extent = at(ExtentKind::weights, chunk.object, p.weight_bytes);
    for (std::size_t k = 0; k < p.state_bytes.size(); ++k) {
      chunk.state_extent[k] = at(p.state_kind(k), chunk.object, p.state_bytes[k]);
    }
    if (chunk.gradient_tier != Tier::ssd) return;
    if (chunk.gradient_waits) chunk.gradient_extent = at(ExtentKind::gradients, chunk.object, kGradientBytes);
    for (int user = 0; user < 2; ++user) {
      if (has_partial(p, chunk.object, user)) {
        chunk.partial_extent[user] = at(ExtentKind::gradients, (user + 1) * p.units() + chunk.object, kGradientBytes);
      }
    }
  }

  void place_activations() {
    map_.activation_tier = activation_tiers(map_.problem);
    int on_ssd = 0;
    for (Tier tier : map_.activation_tier) {
      map_.activation_extent.push_back(-1);
      if (tier != Tier::ssd) continue;
      map_.activation_extent.back() = add_extent(ExtentKind::activations, on_ssd++, 0, map_.slot_activation_bytes());
      add_extent(ExtentKind::activations, on_ssd++, 0, map_.slot_activation_bytes());
    }
  }

  Map map_;
  const PoolSizes& sizes_;
};

}  // namespace

std::uint64_t padded_elements(std::uint64_t elements) { return core::round_up(elements, kGrain); }

std::uint64_t rounded_part(double fraction, std::uint64_t padded) {
  const auto grains = static_cast<double>(padded / kGrain);
  return static_cast<std::uint64_t>(std::llround(fraction * grains)) * kGrain;
}

double effective_delay(const Problem& problem) {
  std::uint64_t all = 0;
  std::uint64_t delayed = 0;
  for (std::uint64_t elements : problem.elements) {
    all += padded_elements(elements);
    delayed += rounded_part(problem.delay, padded_elements(elements));
  }
  return all == 0 ? 0.0 : static_cast<double>(delayed) / static_cast<double>(all);
}

// Each tensor takes the tier that is furthest behind its share.
std::vector<Tier> activation_tiers(const Problem& p) {
  const double share[3] = {p.activations.device, p.activations.host, 1.0 - p.activations.device - p.activations.host};
  double due[3] = {0.0, 0.0, 0.0};
  std::vector<Tier> tiers;
  for (int i = 0; i < (p.units() - 1) * p.micro_batches; ++i) {
    int tier = 0;
    for (int t = 0; t < 3; ++t) {
      due[t] += share[t];
      if (due[t] > due[tier] + 1e-9) tier = t;
    }
    due[tier] -= 1.0;
    tiers.push_back(static_cast<Tier>(tier));
  }
  return tiers;
}

void validate(const Problem& p) {
  require(p.units() >= 2, "a model has at least an embedding and a head");
  require(p.micro_batches >= 1, "micro_batches is at least 1");
  require(is_fraction(p.delay) && is_fraction(p.gradients_host), "delay and placement fractions lie in 0..1");
  for (const Fractions& f : {p.weights, p.optimizer, p.activations}) {
    require(is_fraction(f.device) && is_fraction(f.host) && f.device + f.host <= 1.0 + 1e-9, "placement fractions lie in 0..1 and sum to at most 1");
  }
  require(p.state_bytes.size() <= kMaxMoments + (p.master ? 1U : 0U), "an optimizer has at most 2 states beside the master weights");
  require(!p.master || p.trains(), "master weights are state");
  require(p.master || !p.weights_derived, "weights are derived from a master that is stored");
  require(p.guard != Guard::deferred || !p.trains() || p.delay == 1.0, "deferred updates are delayed as a whole");
  if (p.guard == Guard::speculative) {
    require(p.commits, "updates that may be done over need the last step committed");
    const bool on_ssd = p.weights.device + p.weights.host + p.optimizer.device + p.optimizer.host == 0.0;
    require(on_ssd || p.delay == 1.0, "updates that may be done over need their state on SSD as a whole");
  }
  require(p.chunk_elements >= kGrain && p.chunk_elements % kGrain == 0, "chunk_elements is a multiple of 2048");
  require(p.activation_bytes > 0, "activation_bytes is positive");
  require(p.order == Order::ascending || p.schedule == ScheduleKind::vertical, "horizontal order is ascending");
  for (std::uint64_t elements : p.elements) require(elements > 0, "every unit has parameters");
}

int Map::pool_of(PoolRole role, std::uint64_t bytes) const {
  for (std::size_t i = 0; i < pools.size(); ++i) {
    if (pools[i].role == role && pools[i].bytes == bytes) return static_cast<int>(i);
  }
  throw std::logic_error("schedule: no pool of slots of " + std::to_string(bytes) + " bytes");
}

int Map::pool(PoolRole role) const {
  for (std::size_t i = 0; i < pools.size(); ++i) {
    if (pools[i].role == role) return static_cast<int>(i);
  }
  throw std::logic_error("schedule: no pool of role " + std::to_string(static_cast<int>(role)));
}

std::uint64_t Map::object_bytes(int object) const { return padded_elements(problem.elements[object]) * problem.weight_bytes; }
std::uint64_t Map::gradient_bytes(int object) const { return padded_elements(problem.elements[object]) * kGradientBytes; }
std::uint64_t Map::slot_activation_bytes() const { return core::round_up(problem.activation_bytes, kAlignment); }

std::uint64_t Map::space_bytes(Space space) const {
  std::uint64_t sum = 0;
  for (const Buffer& buffer : buffers) sum += buffer.space == space ? buffer.bytes : 0;
  return sum;
}

Map make_map(const Problem& problem, const PoolSizes& sizes) {
  validate(problem);
  return MapBuilder(problem, sizes).build();
}

}  // namespace gsnake::schedule
