// A model as the schedule and the store see it: a flat object per unit, of the unit's number, which a tied head uses beside its own. Plain data;
// model/layout.h makes it of a model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "optim/flat_layout.h"

namespace gsnake::plan {

// What all units of a kind have in common.
struct UnitShape {
  optim::FlatLayout flat;  // a tied head's shared parameter is left out
  double forward_flops_per_token = 0.0;
};

struct ModelLayout {
  std::vector<UnitShape> shapes;
  std::vector<int> units;  // the shape of each unit, from the embedding to the head
  std::int64_t hidden = 0;  // last dimension of the hidden states
  std::int64_t vocab = 0;
  bool tied = false;
  std::size_t tied_head_index = 0;  // of the shared parameter among the head's, in registration order
  std::uint64_t tied_offset = 0;    // of it in object 0, in elements
  std::vector<std::int64_t> tied_sizes;

  [[nodiscard]] const UnitShape& shape(std::size_t unit) const { return shapes[static_cast<std::size_t>(units.at(unit))]; }
  [[nodiscard]] const optim::FlatLayout& flat(std::size_t unit) const { return shape(unit).flat; }
  [[nodiscard]] std::vector<int> objects_of(int unit) const;  // as schedule::Unit::objects
  [[nodiscard]] std::uint64_t parameters() const;  // tied ones once, without padding
};

// For the optimizer: sorted runs that cover each object's padded elements.
std::vector<std::vector<optim::DecayRun>> decay_runs(const ModelLayout& layout);

}  // namespace gsnake::plan
