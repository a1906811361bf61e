#include <algorithm>
#include <map>
#include <set>

#include "audit/report.h"

namespace gsnake::audit {

using namespace schedule;

namespace {

class MapAudit {
 public:
  explicit MapAudit(const Map& map) : map_(map), users_(users_of(map.problem)) {}

  Findings check() {
    check_cuts();
    for (std::size_t c = 0; c < map_.chunks.size(); ++c) check_chunk(static_cast<int>(c));
    check_pools();
    check_extents();
    check_activations();
    check_batch();
    check_home(map_.losses_home, Tier::host, static_cast<std::uint64_t>(map_.problem.micro_batches) * map_.problem.result_bytes, "the losses");
    if (map_.problem.trains()) check_home(map_.outcome_home, Tier::host, 8, "the outcome");
    check_device_updates();
    check_total();
    return report_.take();
  }

 private:
  void require(bool holds, const std::string& what) {
    if (!holds) report_(what);
  }

  void check_cuts() {
    const int objects = map_.problem.object_count();
    require(map_.first_chunk.size() == static_cast<std::size_t>(objects) + 1, "first_chunk does not name every object's chunks");
    std::size_t c = 0;
    for (int object = 0; object < objects; ++object) {
      const Object& o = map_.problem.object(object);
      const Range own = o.range();
      const std::uint64_t most = o.packed() ? std::max(map_.problem.chunk_elements * kGradientBytes, kPackedGrain) : map_.problem.chunk_elements;
      std::uint64_t next = own.begin;
      require(map_.first_chunk[static_cast<std::size_t>(object)] == static_cast<int>(c),
              "first_chunk is wrong for object " + std::to_string(object));
      for (; c < map_.chunks.size() && map_.chunks[c].object == object; ++c) {
        const Chunk& chunk = map_.chunks[c];
        require(chunk.begin == next && chunk.cells > 0 && chunk.cells % o.grain() == 0 && chunk.cells <= most,
                "chunk " + std::to_string(c) + " is not a run of whole grains that follows the chunk before");
        next = chunk.begin + chunk.cells;
      }
      require(next == own.begin + own.cells, "chunks do not cover what is owned of object " + std::to_string(object));
    }
    require(c == map_.chunks.size() && map_.first_chunk.back() == static_cast<int>(c), "chunks are not sorted by object");
  }

  void check_chunk(int c) {
    const Chunk& chunk = map_.chunks[static_cast<std::size_t>(c)];
    const Object& object = map_.object_of(chunk);
    const std::string name = "chunk " + std::to_string(c);
    check_part(chunk, chunk.weight_home, chunk.weight_tier, chunk.weight_extent, object.cell_bytes(), name + "'s weights");
    check_kind(chunk, chunk.weight_extent, object.packed() ? ExtentKind::base : ExtentKind::weights, name + "'s weights");
    for (std::size_t k = 0; k < object.state_bytes.size(); ++k) {
      check_part(chunk, chunk.state_home[k], chunk.state_tier, chunk.state_extent[k], object.state_bytes[k], name + "'s state");
      check_kind(chunk, chunk.state_extent[k], object.state_kind(k), name + "'s state");
    }
    check_gradients(chunk, name);
  }

  // Of `width` bytes a cell. Extents hold what is owned of an object and nothing before it, but for those of a base, which has all of it.
  void check_part(const Chunk& chunk, int home, Tier tier, int extent, std::uint64_t width, const std::string& what) {
    check_home(home, tier, chunk.cells * width, what);
    const std::uint64_t before = map_.object_of(chunk).packed() ? 0 : map_.object_of(chunk).range().begin;
    check_extent(extent, (chunk.begin - before) * width, chunk.cells * width, what);
  }

  void check_kind(const Chunk& chunk, int extent, ExtentKind kind, const std::string& what) {
    if (extent < 0 || extent >= static_cast<int>(map_.extents.size())) return;  // it is said already that there is none
    const Extent& e = map_.extents[static_cast<std::size_t>(extent)];
    require(e.kind == kind && e.object == static_cast<std::uint32_t>(chunk.object), what + " has an extent of another kind or object");
  }

  void check_gradients(const Chunk& chunk, const std::string& name) {
    const Problem& p = map_.problem;
    const bool trained = map_.object_of(chunk).trained;
    const bool waits = trained && (chunk.delayed || p.guard == Guard::speculative);
    require(chunk.gradient_waits == waits && (trained || !chunk.delayed), name + " does not say whether its gradient waits");
    check_waiting(chunk, waits, {chunk.gradient_home, chunk.gradient_extent}, name + "'s gradient");
    trained ? check_home(chunk.norm_home, Tier::host, chunk.cells / kGrain * 8, name + "'s norm partials")
            : require(chunk.norm_home < 0, name + " has norm partials though it is frozen");
    const bool split = p.schedule == ScheduleKind::horizontal && p.micro_batches > 1;
    const std::size_t users = users_[static_cast<std::size_t>(chunk.object)].size();
    require(chunk.partials.size() == (trained && (split || users > 1) ? users : 0), name + " does not have a place for every user's sum");
    for (std::size_t user = 0; user < chunk.partials.size(); ++user) {
      check_waiting(chunk, split || user > 0, chunk.partials[user], name + "'s sum of user " + std::to_string(user));
    }
  }

  // The first of each object's eager cells, and of its delayed ones, as many as the problem asks for; there is room for what they tell.
  void check_device_updates() {
    bool any = false;
    for (int object = 0; object < map_.problem.object_count(); ++object) {
      const auto o = static_cast<std::size_t>(object);
      const DeviceUpdates asked = device_updates(map_.problem, map_.problem.object(object), users_[o].size());
      DeviceUpdates found;
      bool eager_begins = true;
      bool late_begins = true;
      for (int c = map_.first_chunk[o]; c < map_.first_chunk[o + 1]; ++c) {
        const Chunk& chunk = map_.chunks[static_cast<std::size_t>(c)];
        bool& begins = chunk.delayed ? late_begins : eager_begins;
        require(!chunk.updates_on_device || begins, "chunk " + std::to_string(c) + " is updated on the device behind others that are not");
        begins = chunk.updates_on_device;
        if (chunk.updates_on_device) (chunk.delayed ? found.late : found.eager) += chunk.cells;
        const bool looks = chunk.delayed && looks_on_device(map_.problem, users_[o].size());
        require(chunk.norm_on_device == looks, "chunk " + std::to_string(c) + "'s gradient is not looked at where the problem asks");
      }
      require(found.eager == asked.eager && found.late == asked.late, "object " + std::to_string(object) + " is not updated where the problem asks");
      const bool updates = found.eager + found.late > 0;
      any = any || updates;
      if (!map_.problem.trains()) continue;
      const Tier host = updates ? Tier::host : Tier::ssd;
      check_home(map_.greatest_home[o], host, kGreatestBytes, "the greatest weight of object " + std::to_string(object));
      check_home(map_.greatest_on_device[o], updates ? Tier::device : Tier::ssd, kGreatestBytes, "the greatest weight of object " + std::to_string(object) + " on the device");
    }
    check_home(map_.inspected_home, any ? Tier::host : Tier::ssd, 8, "what is said of new weights");
  }

  void check_home(int home, Tier tier, std::uint64_t bytes, const std::string& what) {
    if (tier == Tier::ssd) return require(home < 0, what + " has a home though it is on ssd");
    const Space space = tier == Tier::device ? Space::device : Space::host;
    if (home < 0 || home >= static_cast<int>(map_.buffers.size())) return report_(what + " has no home");
    const Buffer& buffer = map_.buffers[static_cast<std::size_t>(home)];
    require(buffer.pool < 0 && buffer.space == space && buffer.bytes == bytes, what + " has a home of the wrong space or size");
    require(homes_.insert(home).second, what + " shares its home");
    expected_bytes_[static_cast<std::size_t>(space)] += bytes;
  }

  void check_extent(int extent, std::uint64_t offset, std::uint64_t bytes, const std::string& what) {
    if (extent < 0 || extent >= static_cast<int>(map_.extents.size())) return report_(what + " has no extent");
    const Extent& e = map_.extents[static_cast<std::size_t>(extent)];
    require(e.offset == offset && e.bytes == bytes, what + " has an extent of the wrong place or size");
  }

  void check_waiting(const Chunk& chunk, bool waits, const WaitingPlace& place, const std::string& what) {
    const bool on_ssd = chunk.gradient_tier == Tier::ssd;
    check_home(place.home, waits && !on_ssd ? Tier::host : Tier::ssd, Map::gradient_bytes(chunk), what);
    if (!waits || !on_ssd) return require(place.extent < 0, what + " has an extent without need");
    check_extent(place.extent, (chunk.begin - map_.object_of(chunk).range().begin) * kGradientBytes, Map::gradient_bytes(chunk), what);
  }

  void check_pools() {
    std::size_t slots = 0;
    for (std::size_t i = 0; i < map_.pools.size(); ++i) {
      const Pool& pool = map_.pools[i];
      for (int slot = 0; slot < pool.slots; ++slot, ++slots) {
        const auto index = static_cast<std::size_t>(pool.first_buffer + slot);
        if (index >= map_.buffers.size()) return report_("pool " + pool.name + " has slots that are no buffers");
        const Buffer& buffer = map_.buffers[index];
        require(buffer.pool == static_cast<int>(i) && buffer.bytes == pool.bytes && buffer.space == pool.space,
                name_of(map_, static_cast<int>(index)) + " is not as its pool");
      }
      expected_bytes_[static_cast<std::size_t>(pool.space)] += pool.bytes * static_cast<std::uint64_t>(pool.slots);
    }
    slots_ = slots;
  }

  void check_total() {
    require(slots_ + homes_.size() == map_.buffers.size(), "a buffer is neither a home nor a slot");
    for (Space space : {Space::host, Space::device}) {
      require(map_.space_bytes(space) == expected_bytes_[static_cast<std::size_t>(space)], "space_bytes is not the sum of homes and slots");
    }
  }

  void check_extents() {
    std::map<std::pair<ExtentKind, std::uint32_t>, std::vector<std::pair<std::uint64_t, std::uint64_t>>> runs;
    for (const Extent& e : map_.extents) {
      require(e.bytes > 0 && e.bytes % core::kExtentAlignment == 0 && e.offset % core::kExtentAlignment == 0, "an extent is not aligned to 4096 bytes");
      runs[{e.kind, e.object}].push_back({e.offset, e.offset + e.bytes});
    }
    for (auto& [key, list] : runs) {
      std::sort(list.begin(), list.end());
      for (std::size_t i = 1; i < list.size(); ++i) {
        require(list[i - 1].second <= list[i].first, "extents of object " + std::to_string(key.second) + " overlap");
      }
    }
  }

  void check_activations() {
    const std::size_t tensors = static_cast<std::size_t>(map_.problem.unit_count() - 1) * static_cast<std::size_t>(map_.problem.micro_batches);
    require(map_.activation_tier.size() == tensors && map_.activation_extent.size() == tensors, "not every activation has a tier");
    std::set<int> seen;
    for (std::size_t i = 0; i < map_.activation_tier.size(); ++i) {
      const int extent = map_.activation_extent[i];
      require((extent >= 0) == (map_.activation_tier[i] == Tier::ssd), "an activation's extent does not agree with its tier");
      if (extent < 0) continue;
      const int unit = 1 + static_cast<int>(i) / map_.problem.micro_batches;
      const int last = extent + (unit > first_trained_unit(map_.problem) ? 1 : 0);  // the gradient's, if there is one
      for (int own = extent; own <= last; ++own) {
        check_extent(own, 0, map_.slot_activation_bytes(), "activation " + std::to_string(i));
        require(seen.insert(own).second, "activation " + std::to_string(i) + " shares its extent");
      }
    }
  }

  // The next graph's batch is put into a slot while this graph uses another.
  void check_batch() {
    const Pool& pool = map_.pools[static_cast<std::size_t>(map_.pool(PoolRole::host_batch))];
    require(pool.space == Space::host && pool.slots >= 2, "there are not two batches in host memory");
    require(pool.bytes == 2 * map_.problem.ids_bytes * static_cast<std::uint64_t>(map_.problem.micro_batches), "a batch does not hold its ids and labels");
  }

  const Map& map_;
  const std::vector<std::vector<int>> users_;  // by object
  std::set<int> homes_;
  std::size_t slots_ = 0;
  std::uint64_t expected_bytes_[2] = {0, 0};  // by space
  Reporter report_;
};

}  // namespace

Findings audit_map(const Map& map) { return MapAudit(map).check(); }

}  // namespace gsnake::audit
