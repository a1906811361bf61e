// What a schedule is a function of: shapes, micro-batches, delay, placement, pool sizes.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace gsnake::schedule {

// Every cut through an object (delay, tiers, chunks) falls on a multiple of this many elements, so that O_DIRECT holds in every dtype.
inline constexpr std::uint64_t kGrain = 2048;
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

// As store::Kind, without seeing the store.
enum class ExtentKind : std::uint8_t { weights, moment1, moment2, gradients, activations, master };

// The rest is on SSD.
struct Fractions {
  double device = 0.0;
  double host = 0.0;
};

// Units 0..U-1: embedding, blocks, head. Object u holds the parameters of unit u.
struct Problem {
  std::vector<std::uint64_t> elements;     // of each object, padding to kGrain not counted; one object per unit
  bool tied = false;                       // the head uses object 0 too
  std::uint64_t activation_bytes = 0;      // of one hidden-state tensor: (micro_batch_size, tokens, hidden)
  int micro_batches = 1;
  ScheduleKind schedule = ScheduleKind::vertical;
  Order order = Order::snake;
  double delay = 0.0;                      // of each object's elements, rounded to kGrain
  std::uint64_t weight_bytes = 4;          // per element
  std::vector<std::uint64_t> state_bytes{4, 4};  // per element and state: the master's part if there is one, then the optimizer's
  bool master = false;                     // state 0 is what the weights lack of the master weights, or these as a whole
  bool weights_derived = false;            // the master is whole: an update writes the weights without reading them
  Guard guard = Guard::none;
  Fractions weights;
  Fractions optimizer;
  Fractions activations{0.0, 1.0};
  double gradients_host = 1.0;             // of the gradients that wait; the rest is spilled to SSD
  bool commits = false;                    // state has a second slot on SSD and every step can be made durable
  std::uint64_t chunk_elements = 1ULL << 20;  // at most, of one transfer or update; a multiple of kGrain
  std::vector<double> forward_flops;       // of one micro-batch through each unit; empty: not known

  [[nodiscard]] int units() const { return static_cast<int>(elements.size()); }
  [[nodiscard]] bool trains() const { return !state_bytes.empty(); }
  [[nodiscard]] ExtentKind state_kind(std::size_t k) const {
    if (master && k == 0) return ExtentKind::master;
    return k == (master ? 1U : 0U) ? ExtentKind::moment1 : ExtentKind::moment2;
  }
};

// Throws Error(usage) for a problem that no graph can be built for.
void validate(const Problem& problem);

std::uint64_t padded_elements(std::uint64_t elements);
// The elements that `fraction` of an object comes to after rounding to kGrain.
std::uint64_t rounded_part(double fraction, std::uint64_t padded);
// The delay in effect over all objects after rounding.
double effective_delay(const Problem& problem);

}  // namespace gsnake::schedule
