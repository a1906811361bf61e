// What a schedule is a function of: objects and the units that use them, micro-batches, delay, placement, pool sizes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/extent.h"

namespace gsnake::schedule {

using core::ExtentKind;

// Every cut through an object (delay, tiers, chunks, what a rank owns) falls on a multiple of this many elements, so that O_DIRECT holds in
// every dtype; of weights that are packed, on a multiple of kPackedGrain bytes: of the blocks that their base has hashes of.
inline constexpr std::uint64_t kGrain = 2048;
inline constexpr std::uint64_t kPackedGrain = core::kBaseBlockBytes;
inline constexpr int kMaxStates = 3;
inline constexpr int kMaxMoments = 2;  // states of an optimizer, beside the master's

enum class Tier : std::uint8_t { device, host, ssd };
enum class ScheduleKind : std::uint8_t { vertical, horizontal };
enum class Order : std::uint8_t { snake, ascending };

// What an update may do before its step's outcome (is it finite? what is the clip factor?) is known.
enum class Guard : std::uint8_t {
  none,         // all of it: only the commit waits
  deferred,     // nothing: everything is delayed, and waits
  speculative,  // the eager part, into the slot that the last commit does not own; it is done over from the committed one if need be
};

// The rest is on SSD.
struct Fractions {
  double device = 0.0;
  double host = 0.0;
};

// Cells of an object (see Object), on grains.
struct Range {
  std::uint64_t begin = 0;
  std::uint64_t cells = 0;

  bool operator==(const Range&) const = default;
};

// Parameters that are stored, moved and updated as one vector. It is counted in cells: elements or, where the weights are packed in blocks
// of a format of their own, bytes.
struct Object {
  std::uint64_t elements = 0;       // padding not counted
  bool trained = true;              // else frozen: no gradient, no state, never written
  std::uint64_t weight_bytes = 4;   // per element
  std::uint64_t packed_bytes = 0;   // of all its weights, where these are packed and in a base: frozen objects alone; 0: they are not
  std::vector<std::uint64_t> state_bytes{4, 4};  // per element and state: the master's part if there is one, then the optimizer's
  bool master = false;              // state 0 is what the weights lack of the master weights, or these as a whole
  bool weights_derived = false;     // the master is whole: an update writes the weights without reading them
  std::optional<Range> owned = {};  // what this rank stores and updates; nothing: all of it

  [[nodiscard]] bool packed() const { return packed_bytes > 0; }
  [[nodiscard]] std::uint64_t grain() const { return packed() ? kPackedGrain : kGrain; }
  [[nodiscard]] std::uint64_t cell_bytes() const { return packed() ? 1 : weight_bytes; }
  [[nodiscard]] std::uint64_t cells() const;  // padding to grains included
  [[nodiscard]] Range range() const { return owned.value_or(Range{0, cells()}); }
  [[nodiscard]] ExtentKind state_kind(std::size_t k) const {
    if (master && k == 0) return ExtentKind::master;
    return k == (master ? 1U : 0U) ? ExtentKind::moment1 : ExtentKind::moment2;
  }
};

// What is streamed at once.
struct Unit {
  std::vector<int> objects;    // that it computes with: one use each, in the order of its uses
  double forward_flops = 0.0;  // of one micro-batch; 0: not known
  double trained_share = 1.0;  // of its parameters: the rest costs no gradient of weights

  // What a backward and its recomputation, or the head's forward and backward, is as much as; a backward alone.
  [[nodiscard]] double forwards_of_backward() const { return 2.0 + trained_share; }
  [[nodiscard]] double forwards_of_kept_backward() const { return 1.0 + trained_share; }
};

// Units 0..U-1: embedding, blocks, head.
struct Problem {
  std::vector<Object> objects;
  std::vector<Unit> units;
  std::uint64_t activation_bytes = 0;      // of one hidden-state tensor: (micro_batch_size, tokens, hidden)
  std::uint64_t ids_bytes = 0;             // of one micro-batch's token ids, (micro_batch_size, tokens) of 8 bytes; its labels are as many
  std::uint64_t result_bytes = 8;          // of what the head tells of one micro-batch: doubles, its loss first
  int micro_batches = 1;
  ScheduleKind schedule = ScheduleKind::vertical;
  Order order = Order::snake;
  double delay = 0.0;                      // of each trained object's elements, rounded to kGrain
  Guard guard = Guard::none;
  Fractions weights;
  Fractions optimizer;
  Fractions activations{0.0, 1.0};
  double kept = 0.0;                       // of the blocks' passes, those whose activations stay on the device (kept_passes()); the rest is recomputed
  double gradients_host = 1.0;             // of the gradients that wait; the rest is spilled to SSD
  double update_device = 0.0;              // of each trained object's elements, from the first on: updated on the device (see device_updates())
  bool norms_on_device = false;            // of gradients whose update is delayed, of objects for which looks_on_device(); of others the optimizer's threads take them
  bool commits = false;                    // state has a second slot on SSD and every step can be made durable
  std::uint64_t chunk_elements = 1ULL << 20;  // at most, of one transfer or update; a multiple of kGrain
  int ranks = 1;                           // that run each step together: micro_batches are this one's, of each object it owns part_of()
  int rank = 0;                            // which of them this is

  [[nodiscard]] int unit_count() const { return static_cast<int>(units.size()); }
  [[nodiscard]] int object_count() const { return static_cast<int>(objects.size()); }
  [[nodiscard]] const Object& object(int index) const { return objects[static_cast<std::size_t>(index)]; }
  [[nodiscard]] const std::vector<int>& uses(int unit) const { return units[static_cast<std::size_t>(unit)].objects; }
  [[nodiscard]] bool trains() const;
  [[nodiscard]] std::vector<std::uint64_t> elements() const;  // of each object
};

// What a rank of several owns of an object: equal parts of whole grains, but that the last ones are shorter, or empty, where these do not come out even.
Range part_of(const Object& object, int rank, int ranks);
// Of a part in a slot: the longest.
std::uint64_t part_cells(const Object& object, int ranks);
// Gives each object its range.
void share_out(Problem& problem, int rank, int ranks);

// Throws Error(usage) for a problem that no graph can be built for.
void validate(const Problem& problem);

// Adds an object and a unit that uses it alone.
void add_unit(Problem& problem, Object object);

// The units that use each object, in their order. Of a trained object with several, each gathers a gradient sum of its own; the sum of the
// first is the one that the others are added to, once each, in this order.
std::vector<std::vector<int>> users_of(const Problem& problem);
// Backward goes down to this unit: the first that uses a trained object. The number of units where nothing is trained.
int first_trained_unit(const Problem& problem);
// By object: whether its part on SSD stays in host memory from one graph to the next, which needs it first. So it is with what unit 0 uses,
// if every graph ends with unit 0.
std::vector<bool> carried_objects(const Problem& problem);

std::uint64_t padded_elements(std::uint64_t elements);
// The elements that `fraction` of so many comes to after rounding to the grain.
std::uint64_t rounded_part(double fraction, std::uint64_t padded, std::uint64_t grain = kGrain);
// Of what a rank owns of a trained object, the first cells of each kind: those that the device updates.
struct DeviceUpdates {
  std::uint64_t eager = 0;
  std::uint64_t late = 0;  // delayed
};
// users: of the object. Not so where its gradient is added up in host memory: of several users or, in horizontal order, of several ranks.
bool sums_on_device(const Problem& problem, std::size_t users);
// Of an object's delayed part: where the last visit leaves the whole sum on the device. Of several ranks it does not: computing would wait for what goes between them.
bool looks_on_device(const Problem& problem, std::size_t users);
// Eager ones need their gradient's sum finished on the device.
DeviceUpdates device_updates(const Problem& problem, const Object& object, std::size_t users);
// Whether a step leaves updates to the next one: at any rank, so that all run the same graphs.
bool leaves_updates(const Problem& problem);
// The delay in effect over all trained objects after rounding.
double effective_delay(const Problem& problem);

}  // namespace gsnake::schedule
