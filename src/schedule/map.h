// The memory map of a problem: how objects are cut into chunks, and every place that bytes can be in (buffers and SSD extents).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/extent.h"
#include "schedule/problem.h"

namespace gsnake::schedule {

inline constexpr std::uint64_t kGradientBytes = 4;  // gradients are fp32
inline constexpr std::uint64_t kGreatestBytes = 8;  // of the greatest magnitude: a 32-bit word, and as much that is not used

using core::Extent;

enum class Space : std::uint8_t { host, device };

// Where a gradient sum that is not the object's finished one waits: the one or the other, -1 where there is none.
struct WaitingPlace {
  int home = -1;
  int extent = -1;
};

// A run of one object's cells that lies on one tier, is eager or delayed as a whole, and moves as a whole.
struct Chunk {
  int object = 0;
  std::uint64_t begin = 0;     // cell of the object
  std::uint64_t cells = 0;     // a multiple of the object's grain; of a trained object, these are its elements
  Tier weight_tier = Tier::ssd;
  Tier state_tier = Tier::ssd;
  Tier gradient_tier = Tier::host;  // host or ssd: where its gradient waits
  bool delayed = false;
  bool gradient_waits = false;      // beyond its first use: for a delayed update, or for one that may be done over
  bool updates_on_device = false;   // but for an update that is done over
  bool norm_on_device = false;      // its gradient is looked at there before it waits; of delayed ones
  // Resources; -1 where there is none. Homes are buffers that hold their content for the whole run.
  int weight_home = -1;
  int state_home[kMaxStates] = {-1, -1, -1};
  int gradient_home = -1;            // of a gradient that waits in host memory
  int norm_home = -1;                // its norm partials: 8 bytes per kGrain elements
  std::vector<WaitingPlace> partials;  // of the sums that its object's users gather: by user (users_of()); empty where none ever waits
  int weight_extent = -1;            // state has an extent on SSD whatever its tier; packed weights have one of a base
  int state_extent[kMaxStates] = {-1, -1, -1};
  int gradient_extent = -1;
};

// Buffers of one pool are interchangeable: their content dies within a step (but for the carried chunks, see Graph).
struct Buffer {
  Space space = Space::host;
  std::uint64_t bytes = 0;
  int pool = -1;  // -1: a home
  std::string name;
};

enum class PoolRole : std::uint8_t {
  host_chunk,
  host_activation,
  host_batch,  // a step's token ids, then its labels; see Map::batch_slot()
  device_activation,
  device_weights,
  device_gradients,
  device_weight_parts,    // of several ranks: what this one brings to the whole,
  device_gradient_parts,  // and its share of everybody's sum
  device_ids,     // of a micro-batch: ids or labels
  device_losses,  // of a micro-batch: result_bytes
  host_redo,
  device_update,   // what of a chunk comes to the device for its update, there where chunks are updated there,
  device_norms,    // and the norm partials that are found there, of one
};

struct Pool {
  PoolRole role = PoolRole::host_chunk;
  Space space = Space::host;
  std::uint64_t bytes = 0;  // of one slot
  int slots = 0;
  int first_buffer = 0;
  std::string name;
};

// What of a batch a unit reads: the embedding its ids, the head its labels.
enum class BatchPart : std::uint8_t { ids, labels };

// A resource is a buffer or an extent: index < buffers.size() is a buffer, the rest are extents.
struct Map {
  Problem problem;
  std::vector<Chunk> chunks;           // by object, then by element
  std::vector<int> first_chunk;        // of each object; one more at the end
  std::vector<Buffer> buffers;
  std::vector<Pool> pools;
  std::vector<Extent> extents;         // their objects: of gradients see partial_object(); of activations the tensor's index
  std::vector<bool> carried;           // carried_objects()
  std::vector<std::vector<int>> users;  // users_of()
  int first_trained_unit = 0;
  std::vector<Tier> activation_tier;   // of checkpoint and gradient (unit, micro-batch): index (unit - 1) * M + m, units 1..U-1
  std::vector<int> activation_extent;  // likewise: the checkpoint's; the gradient's, if the unit's input has one, is the next; -1 if not on ssd
  std::vector<bool> kept;              // kept_passes()
  int losses_home = -1;                // result_bytes a micro-batch
  int outcome_home = -1;               // written once a step's outcome is known; gives those that wait for it their order, no bytes
  // By object, of those with chunks that the device updates: the greatest magnitude among new masters, 8 bytes, of eager chunks and of delayed ones by turns.
  std::vector<int> greatest_on_device;
  std::vector<int> greatest_home;      // and where it comes to in host memory; -1: none
  int inspected_home = -1;             // as the outcome: written once somebody has looked at these; -1: the device updates nothing

  // Where a graph finds its batch: whoever starts it has put it there, while the graph before may still be running.
  [[nodiscard]] int batch_slot() const { return pools[static_cast<std::size_t>(pool(PoolRole::host_batch))].first_buffer; }
  // Where in it a micro-batch's ids or labels are.
  [[nodiscard]] std::uint64_t batch_offset(BatchPart part, int micro_batch) const;

  [[nodiscard]] bool keeps(int unit, int micro_batch) const { return kept[static_cast<std::size_t>(unit * problem.micro_batches + micro_batch)]; }

  [[nodiscard]] int resources() const { return static_cast<int>(buffers.size() + extents.size()); }
  [[nodiscard]] int extent_resource(int extent) const { return static_cast<int>(buffers.size()) + extent; }
  [[nodiscard]] bool is_buffer(int resource) const { return resource < static_cast<int>(buffers.size()); }
  [[nodiscard]] int pool(PoolRole role) const;                          // the only one of its role
  [[nodiscard]] int pool_of(PoolRole role, std::uint64_t bytes) const;  // throws std::logic_error where there is none
  [[nodiscard]] const Object& object_of(const Chunk& chunk) const { return problem.object(chunk.object); }
  [[nodiscard]] std::uint64_t weight_bytes(const Chunk& chunk) const { return chunk.cells * object_of(chunk).cell_bytes(); }
  [[nodiscard]] std::uint64_t state_bytes(const Chunk& chunk, std::size_t k) const { return chunk.cells * object_of(chunk).state_bytes[k]; }
  [[nodiscard]] static std::uint64_t gradient_bytes(const Chunk& chunk) { return chunk.cells * kGradientBytes; }
  [[nodiscard]] static std::uint64_t norm_bytes(const Chunk& chunk) { return chunk.cells / kGrain * sizeof(double); }
  // How the gradients' extents name the sum of one of an object's users; a finished sum has the object's own number.
  [[nodiscard]] std::uint32_t partial_object(int object, std::size_t user) const;
  // Of a slot on the device for what one rank owns of an object, and for the whole: the ranks' parts one after another, behind the last nothing.
  [[nodiscard]] std::uint64_t part_weight_bytes(int object) const { return part_cells(problem.object(object), problem.ranks) * problem.object(object).cell_bytes(); }
  [[nodiscard]] std::uint64_t part_gradient_bytes(int object) const { return part_cells(problem.object(object), problem.ranks) * kGradientBytes; }
  [[nodiscard]] std::uint64_t slot_weight_bytes(int object) const { return part_weight_bytes(object) * static_cast<std::uint64_t>(problem.ranks); }
  [[nodiscard]] std::uint64_t slot_gradient_bytes(int object) const { return part_gradient_bytes(object) * static_cast<std::uint64_t>(problem.ranks); }
  // Where a chunk stands in the slot of this rank's part: where there is one rank, of the whole.
  [[nodiscard]] std::uint64_t weight_offset(const Chunk& chunk) const { return (chunk.begin - object_of(chunk).range().begin) * object_of(chunk).cell_bytes(); }
  [[nodiscard]] std::uint64_t gradient_offset(const Chunk& chunk) const { return (chunk.begin - object_of(chunk).range().begin) * kGradientBytes; }
  // Whether both exist and the device updates both, at the same time in a step: what they leave in greatest_on_device goes together.
  [[nodiscard]] bool are_updated_together(int chunk, int other) const;
  [[nodiscard]] std::uint64_t space_bytes(Space space) const;           // of all buffers there
  [[nodiscard]] std::uint64_t slot_activation_bytes() const;            // padded to 4096
};

// Slots per pool, in the order of Map::pools. Empty: pools without slots (to measure how many a program needs).
using PoolSizes = std::vector<int>;

// Spreads the placement of activations evenly: the tier of the checkpoint and of the gradient of (unit, micro-batch), index as above.
std::vector<Tier> activation_tiers(const Problem& problem);

Map make_map(const Problem& problem, const PoolSizes& sizes);

}  // namespace gsnake::schedule
