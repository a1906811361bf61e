// The memory map of a problem: how objects are cut into chunks, and every place that bytes can be in (buffers and SSD extents).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "schedule/problem.h"

namespace gsnake::schedule {

enum class Space : std::uint8_t { host, device };

// A run of one object's elements that lies on one tier, is eager or delayed as a whole, and moves as a whole.
struct Chunk {
  int object = 0;
  std::uint64_t begin = 0;     // element of the object
  std::uint64_t elements = 0;  // a multiple of kGrain
  Tier weight_tier = Tier::ssd;
  Tier state_tier = Tier::ssd;
  Tier gradient_tier = Tier::host;  // host or ssd: where its gradient waits
  bool delayed = false;
  bool gradient_waits = false;      // beyond its first use: for a delayed update, or for one that may be done over
  // Resources; -1 where there is none. Homes are buffers that hold their content for the whole run.
  int weight_home = -1;
  int state_home[kMaxStates] = {-1, -1, -1};
  int gradient_home = -1;            // of a gradient that waits in host memory
  int norm_home = -1;                // its norm partials: 8 bytes per kGrain elements
  int partial_home[2] = {-1, -1};    // of a part of the gradient sum that waits in host memory; by user: 0 the unit itself, 1 the head (tied)
  int weight_extent = -1;            // state has an extent on SSD whatever its tier
  int state_extent[kMaxStates] = {-1, -1, -1};
  int gradient_extent = -1;
  int partial_extent[2] = {-1, -1};
};

// Buffers of one pool are interchangeable: their content dies within a step (but for the carried chunks, see Graph).
struct Buffer {
  Space space = Space::host;
  std::uint64_t bytes = 0;
  int pool = -1;  // -1: a home
  std::string name;
};

enum class PoolRole : std::uint8_t { host_chunk, host_activation, device_activation, device_weights, device_gradients, host_redo };

struct Pool {
  PoolRole role = PoolRole::host_chunk;
  Space space = Space::host;
  std::uint64_t bytes = 0;  // of one slot
  int slots = 0;
  int first_buffer = 0;
  std::string name;
};

struct Extent {
  ExtentKind kind = ExtentKind::weights;
  int object = 0;  // gradients: object, then units + object for partial sums of user 0, 2 * units for those of the head; activations: tensor index
  std::uint64_t offset = 0;  // bytes
  std::uint64_t bytes = 0;   // a multiple of 4096
};

// A resource is a buffer or an extent: index < buffers.size() is a buffer, the rest are extents.
struct Map {
  Problem problem;
  std::vector<Chunk> chunks;           // by object, then by element
  std::vector<int> first_chunk;        // of each object; one more at the end
  std::vector<Buffer> buffers;
  std::vector<Pool> pools;
  std::vector<Extent> extents;
  std::vector<Tier> activation_tier;   // of checkpoint and gradient (unit, micro-batch): index (unit - 1) * M + m, units 1..U-1
  std::vector<int> activation_extent;  // likewise: the checkpoint's; the gradient's is the next one; -1 if not on ssd
  int losses_home = -1;                // 8 bytes a micro-batch
  int outcome_home = -1;               // written once a step's outcome is known; gives those that wait for it their order, no bytes

  [[nodiscard]] int resources() const { return static_cast<int>(buffers.size() + extents.size()); }
  [[nodiscard]] int extent_resource(int extent) const { return static_cast<int>(buffers.size()) + extent; }
  [[nodiscard]] bool is_buffer(int resource) const { return resource < static_cast<int>(buffers.size()); }
  [[nodiscard]] int pool(PoolRole role) const;                          // the only one of its role
  [[nodiscard]] int pool_of(PoolRole role, std::uint64_t bytes) const;  // throws std::logic_error where there is none
  [[nodiscard]] std::uint64_t object_bytes(int object) const;           // of its weights, padded
  [[nodiscard]] std::uint64_t gradient_bytes(int object) const;         // fp32, padded
  [[nodiscard]] std::uint64_t space_bytes(Space space) const;           // of all buffers there
  [[nodiscard]] std::uint64_t slot_activation_bytes() const;            // padded to 4096
};

// Slots per pool, in the order of Map::pools. Empty: pools without slots (to measure how many a program needs).
using PoolSizes = std::vector<int>;

// Spreads the placement of activations evenly: the tier of the checkpoint and of the gradient of (unit, micro-batch), index as above.
std::vector<Tier> activation_tiers(const Problem& problem);

Map make_map(const Problem& problem, const PoolSizes& sizes);

}  // namespace gsnake::schedule
