#include <algorithm>
#include <map>
#include <set>

#include "audit/report.h"

namespace gsnake::audit {

using namespace schedule;

namespace {

constexpr std::uint64_t kGradientBytes = 4;
constexpr std::uint64_t kAlignment = 4096;

class MapAudit {
 public:
  explicit MapAudit(const Map& map) : map_(map) {}

  Findings check() {
    check_cuts();
    for (std::size_t c = 0; c < map_.chunks.size(); ++c) check_chunk(static_cast<int>(c));
    check_pools();
    check_extents();
    check_activations();
    check_home(map_.losses_home, Tier::host, static_cast<std::uint64_t>(map_.problem.micro_batches) * 8, "the losses");
    if (map_.problem.trains()) check_home(map_.outcome_home, Tier::host, 8, "the outcome");
    check_total();
    return report_.take();
  }

 private:
  void require(bool holds, const std::string& what) {
    if (!holds) report_(what);
  }

  void check_cuts() {
    const int objects = map_.problem.units();
    require(map_.first_chunk.size() == static_cast<std::size_t>(objects) + 1, "first_chunk does not name every object's chunks");
    std::size_t c = 0;
    for (int object = 0; object < objects; ++object) {
      std::uint64_t next = 0;
      require(map_.first_chunk[static_cast<std::size_t>(object)] == static_cast<int>(c),
              "first_chunk is wrong for object " + std::to_string(object));
      for (; c < map_.chunks.size() && map_.chunks[c].object == object; ++c) {
        const Chunk& chunk = map_.chunks[c];
        require(chunk.begin == next && chunk.elements > 0 && chunk.elements % kGrain == 0 && chunk.elements <= map_.problem.chunk_elements,
                "chunk " + std::to_string(c) + " is not a run of whole grains that follows the chunk before");
        next = chunk.begin + chunk.elements;
      }
      require(next == padded_elements(map_.problem.elements[static_cast<std::size_t>(object)]),
              "chunks do not cover object " + std::to_string(object));
    }
    require(c == map_.chunks.size() && map_.first_chunk.back() == static_cast<int>(c), "chunks are not sorted by object");
  }

  void check_chunk(int c) {
    const Chunk& chunk = map_.chunks[static_cast<std::size_t>(c)];
    const Problem& p = map_.problem;
    const std::string name = "chunk " + std::to_string(c);
    check_home(chunk.weight_home, chunk.weight_tier, chunk.elements * p.weight_bytes, name + "'s weights");
    check_extent(chunk.weight_extent, chunk.begin * p.weight_bytes, chunk.elements * p.weight_bytes, name + "'s weights");
    for (std::size_t k = 0; k < p.state_bytes.size(); ++k) {
      check_home(chunk.state_home[k], chunk.state_tier, chunk.elements * p.state_bytes[k], name + "'s state");
      check_extent(chunk.state_extent[k], chunk.begin * p.state_bytes[k], chunk.elements * p.state_bytes[k], name + "'s state");
    }
    const bool waits = p.trains() && (chunk.delayed || p.guard == Guard::speculative);
    require(chunk.gradient_waits == waits, name + " does not say whether its gradient waits");
    check_waiting(chunk, waits, chunk.gradient_home, chunk.gradient_extent, name + "'s gradient");
    if (p.trains()) check_home(chunk.norm_home, Tier::host, chunk.elements / kGrain * 8, name + "'s norm partials");
    const bool split = p.trains() && p.schedule == ScheduleKind::horizontal && p.micro_batches > 1;
    check_waiting(chunk, split, chunk.partial_home[0], chunk.partial_extent[0], name + "'s partial sum");
    check_waiting(chunk, p.trains() && p.tied && chunk.object == 0, chunk.partial_home[1], chunk.partial_extent[1], name + "'s head share");
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

  void check_waiting(const Chunk& chunk, bool waits, int home, int extent, const std::string& what) {
    const std::uint64_t bytes = chunk.elements * kGradientBytes;
    const bool on_ssd = chunk.gradient_tier == Tier::ssd;
    check_home(home, waits && !on_ssd ? Tier::host : Tier::ssd, bytes, what);
    if (waits && on_ssd) return check_extent(extent, chunk.begin * kGradientBytes, bytes, what);
    require(extent < 0, what + " has an extent without need");
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
    std::map<std::pair<ExtentKind, int>, std::vector<std::pair<std::uint64_t, std::uint64_t>>> runs;
    for (const Extent& e : map_.extents) {
      require(e.bytes > 0 && e.bytes % kAlignment == 0 && e.offset % kAlignment == 0, "an extent is not aligned to 4096 bytes");
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
    const std::size_t tensors = static_cast<std::size_t>(map_.problem.units() - 1) * static_cast<std::size_t>(map_.problem.micro_batches);
    require(map_.activation_tier.size() == tensors && map_.activation_extent.size() == tensors, "not every activation has a tier");
    std::set<int> seen;
    for (std::size_t i = 0; i < map_.activation_tier.size(); ++i) {
      const int extent = map_.activation_extent[i];
      require((extent >= 0) == (map_.activation_tier[i] == Tier::ssd), "an activation's extent does not agree with its tier");
      if (extent < 0) continue;
      for (int own : {extent, extent + 1}) {
        check_extent(own, 0, map_.slot_activation_bytes(), "activation " + std::to_string(i));
        require(seen.insert(own).second, "activation " + std::to_string(i) + " shares its extent");
      }
    }
  }

  const Map& map_;
  std::set<int> homes_;
  std::size_t slots_ = 0;
  std::uint64_t expected_bytes_[2] = {0, 0};  // by space
  Reporter report_;
};

}  // namespace

Findings audit_map(const Map& map) { return MapAudit(map).check(); }

}  // namespace gsnake::audit
