#include "schedule/map.h"

#include <algorithm>
#include <set>
#include <stdexcept>

#include "core/bytes.h"
#include "schedule/kept.h"

namespace gsnake::schedule {
namespace {

using core::kExtentAlignment;

constexpr std::uint64_t kOutcomeBytes = 8;

class MapBuilder {
 public:
  MapBuilder(const Problem& problem, const PoolSizes& sizes) : sizes_(sizes) {
    map_.problem = problem;
    map_.carried = carried_objects(problem);
    map_.users = users_of(problem);
    map_.first_trained_unit = first_trained_unit(problem);
  }

  Map build() {
    for (int object = 0; object < map_.problem.object_count(); ++object) cut(object);
    map_.first_chunk.push_back(static_cast<int>(map_.chunks.size()));
    for (Chunk& chunk : map_.chunks) add_homes(chunk);
    add_results();
    add_pools();
    for (Chunk& chunk : map_.chunks) add_extents(chunk);
    place_activations();
    return std::move(map_);
  }

 private:
  // Whether the sum of a user of a trained object must ever wait before the object's update: one that a later micro-batch continues, and
  // one that is added to the first user's.
  [[nodiscard]] bool has_partial(std::size_t user) const {
    return user > 0 || (map_.problem.schedule == ScheduleKind::horizontal && map_.problem.micro_batches > 1);
  }
  [[nodiscard]] std::size_t users(int object) const { return map_.users[static_cast<std::size_t>(object)].size(); }

  void cut(int object) {
    map_.first_chunk.push_back(static_cast<int>(map_.chunks.size()));
    const Object& o = map_.problem.object(object);
    o.trained ? cut_trained(object, o) : cut_frozen(object, o);
  }

  void cut_frozen(int object, const Object& o) {
    const Range own = o.range();
    const Tiers weight = tiers(map_.problem.weights, own, o.grain());
    // As many bytes as a chunk of gradients at most, but a grain: whatever else a chunk is of, it has room in every slot.
    const std::uint64_t blocks = std::max<std::uint64_t>(1, map_.problem.chunk_elements * kGradientBytes / kPackedGrain);
    const std::uint64_t most = o.packed() ? blocks * kPackedGrain : map_.problem.chunk_elements;
    for (const Range& piece : pieces({own.begin, own.begin + own.cells, weight.device, weight.host}, most, o.grain())) {
      Chunk& chunk = add_chunk(object, piece);
      chunk.weight_tier = weight.of(piece.begin);
    }
  }

  void cut_trained(int object, const Object& o) {
    const Problem& p = map_.problem;
    const Range own = o.range();
    const std::uint64_t end = own.begin + own.cells;
    const std::uint64_t delayed = rounded_part(p.delay, own.cells);
    const std::uint64_t eager_end = end - delayed;
    const Tiers weight = tiers(p.weights, own, kGrain);
    const Tiers state = tiers(p.optimizer, own, kGrain);
    const std::uint64_t gradient_host = eager_end + rounded_part(p.gradients_host, delayed);
    const std::uint64_t partial_host = own.begin + rounded_part(p.gradients_host, own.cells);
    const DeviceUpdates on_device = device_updates(p, o, users(object));
    std::set<std::uint64_t> cuts{own.begin, end, eager_end, weight.device, weight.host, state.device, state.host, gradient_host};
    if (has_partial(users(object) - 1) || p.guard == Guard::speculative) cuts.insert(partial_host);
    cuts.insert(own.begin + on_device.eager);
    cuts.insert(eager_end + on_device.late);
    for (const Range& piece : pieces(cuts, p.chunk_elements, kGrain)) {
      Chunk& chunk = add_chunk(object, piece);
      chunk.weight_tier = weight.of(piece.begin);
      chunk.state_tier = state.of(piece.begin);
      chunk.delayed = piece.begin >= eager_end;
      chunk.updates_on_device = chunk.delayed ? piece.begin < eager_end + on_device.late : piece.begin < own.begin + on_device.eager;
      chunk.norm_on_device = chunk.delayed && looks_on_device(p, users(object));
      chunk.gradient_waits = chunk.delayed || p.guard == Guard::speculative;
      // One waiting place per chunk: a delayed chunk's follows the delayed split, an eager one's the whole object's.
      chunk.gradient_tier = piece.begin < (chunk.delayed ? gradient_host : partial_host) ? Tier::host : Tier::ssd;
    }
  }

  // Between any two cuts equal pieces rather than full ones and a remainder: an even pipeline.
  static std::vector<Range> pieces(const std::set<std::uint64_t>& cuts, std::uint64_t most, std::uint64_t grain) {
    std::vector<Range> pieces;
    for (auto from = cuts.begin(), to = std::next(from); to != cuts.end(); ++from, ++to) {
      const std::uint64_t count = core::ceil_div(*to - *from, most);
      const std::uint64_t cells = core::round_up(core::ceil_div(*to - *from, count), grain);
      for (std::uint64_t begin = *from; begin < *to; begin += cells) pieces.push_back({begin, std::min(cells, *to - begin)});
    }
    return pieces;
  }

  Chunk& add_chunk(int object, const Range& range) {
    Chunk& chunk = map_.chunks.emplace_back();
    chunk.object = object;
    chunk.begin = range.begin;
    chunk.cells = range.cells;
    return chunk;
  }

  struct Tiers {
    std::uint64_t device = 0;  // cells before this one are on the device,
    std::uint64_t host = 0;    // before this one in host memory, the rest on ssd
    [[nodiscard]] Tier of(std::uint64_t cell) const { return cell < device ? Tier::device : cell < host ? Tier::host : Tier::ssd; }
  };

  static Tiers tiers(const Fractions& fractions, const Range& own, std::uint64_t grain) {
    return {own.begin + rounded_part(fractions.device, own.cells, grain),
            own.begin + rounded_part(std::min(1.0, fractions.device + fractions.host), own.cells, grain)};
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
    chunk.weight_home = home_for(chunk.weight_tier, map_.weight_bytes(chunk), "weights");
    if (!map_.object_of(chunk).trained) return;
    for (std::size_t k = 0; k < map_.object_of(chunk).state_bytes.size(); ++k) {
      chunk.state_home[k] = home_for(chunk.state_tier, map_.state_bytes(chunk, k), "optimizer state");
    }
    const std::uint64_t bytes = Map::gradient_bytes(chunk);
    if (chunk.gradient_waits) chunk.gradient_home = home_for(chunk.gradient_tier, bytes, "gradients that wait");
    chunk.norm_home = add_home(Space::host, Map::norm_bytes(chunk), "norm partials");
    if (!has_partial(users(chunk.object) - 1)) return;
    for (std::size_t user = 0; user < users(chunk.object); ++user) {
      WaitingPlace& place = chunk.partials.emplace_back();
      if (has_partial(user)) place.home = home_for(chunk.gradient_tier, bytes, "gradient sums");
    }
  }

  void add_results() {
    map_.losses_home = add_home(Space::host, static_cast<std::uint64_t>(map_.problem.micro_batches) * map_.problem.result_bytes, "losses");
    if (map_.problem.trains()) map_.outcome_home = add_home(Space::host, kOutcomeBytes, "outcome");
    add_greatest();
  }

  void add_greatest() {
    const auto objects = static_cast<std::size_t>(map_.problem.object_count());
    map_.greatest_on_device.assign(objects, -1);
    map_.greatest_home.assign(objects, -1);
    for (const Chunk& chunk : map_.chunks) {
      int& home = map_.greatest_home[static_cast<std::size_t>(chunk.object)];
      if (!chunk.updates_on_device || home >= 0) continue;
      home = add_home(Space::host, kGreatestBytes, "greatest weights");
      map_.greatest_on_device[static_cast<std::size_t>(chunk.object)] = add_home(Space::device, kGreatestBytes, "greatest weights");
    }
    const bool any = std::any_of(map_.greatest_home.begin(), map_.greatest_home.end(), [](int home) { return home >= 0; });
    if (any) map_.inspected_home = add_home(Space::host, kOutcomeBytes, "outcome");
  }

  void add_pool(PoolRole role, Space space, std::uint64_t bytes, std::string name) {
    const std::size_t index = map_.pools.size();
    const int slots = index < sizes_.size() ? sizes_[index] : 1;
    map_.pools.push_back({role, space, bytes, slots, static_cast<int>(map_.buffers.size()), name});
    for (int slot = 0; slot < slots; ++slot) map_.buffers.push_back({space, bytes, static_cast<int>(index), name});
  }

  // Whatever of a chunk comes to host memory.
  [[nodiscard]] std::uint64_t widest(const Chunk& chunk) const {
    std::uint64_t bytes = map_.weight_bytes(chunk);
    if (!map_.object_of(chunk).trained) return bytes;
    bytes = std::max(bytes, Map::gradient_bytes(chunk));
    for (std::size_t k = 0; k < map_.object_of(chunk).state_bytes.size(); ++k) bytes = std::max(bytes, map_.state_bytes(chunk, k));
    return bytes;
  }

  void add_pools() {
    const Problem& p = map_.problem;
    std::uint64_t chunk_bytes = 0;
    std::set<std::uint64_t> weight_sizes;
    std::set<std::uint64_t> gradient_sizes;
    for (const Chunk& chunk : map_.chunks) chunk_bytes = std::max(chunk_bytes, widest(chunk));
    for (int object = 0; object < p.object_count(); ++object) {
      weight_sizes.insert(map_.slot_weight_bytes(object));
      if (p.object(object).trained) gradient_sizes.insert(map_.slot_gradient_bytes(object));
    }
    add_pool(PoolRole::host_chunk, Space::host, chunk_bytes, "chunks");
    add_pool(PoolRole::host_activation, Space::host, map_.slot_activation_bytes(), "activation checkpoints");
    add_pool(PoolRole::host_batch, Space::host, 2 * p.ids_bytes * static_cast<std::uint64_t>(p.micro_batches), "batches");
    add_pool(PoolRole::device_activation, Space::device, map_.slot_activation_bytes(), "activations");
    for (std::uint64_t bytes : weight_sizes) add_pool(PoolRole::device_weights, Space::device, bytes, "weights");
    for (std::uint64_t bytes : gradient_sizes) add_pool(PoolRole::device_gradients, Space::device, bytes, "gradient accumulators");
    if (p.ranks > 1) add_part_pools(weight_sizes, gradient_sizes);
    add_pool(PoolRole::device_ids, Space::device, p.ids_bytes, "token ids");
    add_pool(PoolRole::device_losses, Space::device, p.result_bytes, "losses");
    if (p.guard == Guard::speculative) add_pool(PoolRole::host_redo, Space::host, chunk_bytes, "updates done over");
    add_update_pools();
  }

  void add_update_pools() {
    std::uint64_t chunk_bytes = 0;
    std::uint64_t norm_bytes = 0;
    for (const Chunk& chunk : map_.chunks) {
      if (chunk.norm_on_device || (chunk.updates_on_device && !chunk.delayed)) norm_bytes = std::max(norm_bytes, Map::norm_bytes(chunk));
      if (chunk.updates_on_device) chunk_bytes = std::max(chunk_bytes, widest(chunk));
    }
    if (chunk_bytes > 0) add_pool(PoolRole::device_update, Space::device, chunk_bytes, "updates");
    if (norm_bytes > 0) add_pool(PoolRole::device_norms, Space::device, norm_bytes, "norm partials");
  }

  void add_part_pools(const std::set<std::uint64_t>& weight_sizes, const std::set<std::uint64_t>& gradient_sizes) {
    const auto ranks = static_cast<std::uint64_t>(map_.problem.ranks);
    for (std::uint64_t bytes : weight_sizes) add_pool(PoolRole::device_weight_parts, Space::device, bytes / ranks, "this rank's weights");
    for (std::uint64_t bytes : gradient_sizes) add_pool(PoolRole::device_gradient_parts, Space::device, bytes / ranks, "this rank's gradients");
  }

  int add_extent(ExtentKind kind, std::uint32_t object, std::uint64_t offset, std::uint64_t bytes) {
    map_.extents.push_back({kind, object, offset, bytes});
    return static_cast<int>(map_.extents.size()) - 1;
  }

  // Of `width` bytes a cell. On SSD stands what this rank owns and nothing before it.
  int add_part(const Chunk& chunk, ExtentKind kind, std::uint32_t object, std::uint64_t width) {
    return add_extent(kind, object, (chunk.begin - map_.object_of(chunk).range().begin) * width, chunk.cells * width);
  }

  void add_extents(Chunk& chunk) {
    const Object& o = map_.object_of(chunk);
    const auto object = static_cast<std::uint32_t>(chunk.object);
    // A base holds whole objects, whatever this rank owns of them.
    chunk.weight_extent = o.packed() ? add_extent(ExtentKind::base, object, chunk.begin * o.cell_bytes(), map_.weight_bytes(chunk))
                                     : add_part(chunk, ExtentKind::weights, object, o.cell_bytes());
    for (std::size_t k = 0; k < o.state_bytes.size(); ++k) chunk.state_extent[k] = add_part(chunk, o.state_kind(k), object, o.state_bytes[k]);
    if (chunk.gradient_tier != Tier::ssd) return;
    if (chunk.gradient_waits) chunk.gradient_extent = add_part(chunk, ExtentKind::gradients, object, kGradientBytes);
    for (std::size_t user = 0; user < chunk.partials.size(); ++user) {
      if (!has_partial(user)) continue;
      chunk.partials[user].extent = add_part(chunk, ExtentKind::gradients, map_.partial_object(chunk.object, user), kGradientBytes);
    }
  }

  void place_activations() {
    map_.activation_tier = activation_tiers(map_.problem);
    map_.kept = kept_passes(map_.problem);
    std::uint32_t on_ssd = 0;
    for (std::size_t i = 0; i < map_.activation_tier.size(); ++i) {
      map_.activation_extent.push_back(-1);
      if (map_.activation_tier[i] != Tier::ssd) continue;
      map_.activation_extent.back() = add_extent(ExtentKind::activations, on_ssd++, 0, map_.slot_activation_bytes());
      const int unit = 1 + static_cast<int>(i) / map_.problem.micro_batches;
      if (unit > map_.first_trained_unit) add_extent(ExtentKind::activations, on_ssd++, 0, map_.slot_activation_bytes());
    }
  }

  Map map_;
  const PoolSizes& sizes_;
};

}  // namespace

// Each tensor takes the tier that is furthest behind its share.
std::vector<Tier> activation_tiers(const Problem& p) {
  const double share[3] = {p.activations.device, p.activations.host, 1.0 - p.activations.device - p.activations.host};
  double due[3] = {0.0, 0.0, 0.0};
  std::vector<Tier> tiers;
  for (int i = 0; i < (p.unit_count() - 1) * p.micro_batches; ++i) {
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

std::uint32_t Map::partial_object(int object, std::size_t user) const {
  std::size_t number = problem.objects.size() + user;
  for (int before = 0; before < object; ++before) number += users[static_cast<std::size_t>(before)].size();
  return static_cast<std::uint32_t>(number);
}

std::uint64_t Map::batch_offset(BatchPart part, int micro_batch) const {
  const int before = part == BatchPart::ids ? 0 : problem.micro_batches;
  return static_cast<std::uint64_t>(before + micro_batch) * problem.ids_bytes;
}

bool Map::are_updated_together(int chunk, int other) const {
  const auto count = static_cast<int>(chunks.size());
  if (chunk < 0 || other < 0 || chunk >= count || other >= count) return false;
  const Chunk& a = chunks[static_cast<std::size_t>(chunk)];
  const Chunk& b = chunks[static_cast<std::size_t>(other)];
  return a.object == b.object && a.updates_on_device && b.updates_on_device && a.delayed == b.delayed;
}

std::uint64_t Map::slot_activation_bytes() const { return core::round_up(problem.activation_bytes, kExtentAlignment); }

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
