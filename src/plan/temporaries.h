// LibTorch's temporaries while it computes a unit: what is known of them before the dry run of each kind of unit, and from dry runs of
// less.
#pragma once

#include <cstdint>
#include <vector>

#include "greedysnake/config.h"
#include "plan/model_layout.h"
#include "plan/problem.h"

namespace gsnake::plan {

// The most bytes of temporaries that dry runs over so many tokens took.
struct MeasuredPeak {
  std::int64_t tokens = 0;
  std::uint64_t bytes = 0;
};

using PeakCurve = std::vector<MeasuredPeak>;  // in ascending order of tokens

struct MeasuredPeaks {
  enum class Of : std::uint8_t {
    nothing,
    some,          // of a kind of unit no dry run went to its end: its peak may be higher
    fewer_tokens,  // than the run's
    all_tokens,
  };

  Of of = Of::nothing;
  std::vector<PeakCurve> units;  // of embedding and blocks, by kind: by the tokens of a micro-batch
  PeakCurve head;                // by those of a chunk
  std::vector<std::uint64_t> kept;  // by shape: what a forward pass of `kept_tokens` leaves whose activations are kept; 0, or empty: not measured
  std::int64_t kept_tokens = 0;

  [[nodiscard]] bool known() const { return of >= Of::fewer_tokens; }
};

// The temporaries of other numbers of tokens; the curve is not empty. They are the largest of several sums, each of a constant and a
// multiple of the tokens: a curve that bends upwards, so that between two points it is below their chord, and below the first point it is
// below that. Beyond the last point: on the line through the last two, and a little more.
std::uint64_t peak_at(const PeakCurve& curve, std::int64_t tokens);

// What any unit takes: its result and the gradient of its input or, where they are stored in another dtype, both in the one that is
// computed in; a chunk of logits.
std::uint64_t least_peak(const Config& config, const ModelLayout& layout, Purpose purpose, Dtype compute);

// What a forward pass of a unit of that shape leaves at the least, where its activations are kept: its result, and what its matrices were multiplied with.
std::uint64_t least_kept(const Config& config, const ModelLayout& layout, std::size_t shape, Dtype compute);

// What a budget is charged with for a measured peak, which repeats from call to call but for what varies with alignment; and the largest
// peak that `charge` has room for.
std::uint64_t charge_of(std::uint64_t peak_bytes);
std::uint64_t peak_within(std::uint64_t charge);

}  // namespace gsnake::plan
