// A model as the schedule and the store see it: a flat object per unit, of the unit's number, which a tied head uses beside its own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "greedysnake/unit.h"
#include "model/binding.h"
#include "model/flat_layout.h"
#include "optim/optimizer.h"

namespace gsnake::plan {

struct ModelLayout {
  std::vector<model::FlatLayout> units;  // of each unit; a tied head's shared parameter is left out
  bool tied = false;
  std::size_t tied_head_index = 0;           // of the shared parameter among the head's, in registration order
  std::uint64_t tied_offset = 0;             // of it in object 0, in elements
  std::vector<std::int64_t> tied_sizes;

  [[nodiscard]] std::vector<int> objects_of(int unit) const;  // as schedule::Unit::objects
  [[nodiscard]] std::uint64_t parameters() const;  // tied ones once, without padding
};

// Throws Error(usage) when the model is not an embedding, units and a head, or a tied parameter does not exist.
ModelLayout make_model_layout(const Model& model, bool decay_1d);

// For messages: "unit 3 (block)".
std::string name_of_unit(const Model& model, int unit);

// For the optimizer: sorted runs that cover each object's padded elements.
std::vector<std::vector<optim::DecayRun>> decay_runs(const ModelLayout& layout);

}  // namespace gsnake::plan
