// A model as the schedule and the store see it: flat objects, of which each unit has one of the unit's number, and those that keep frozen
// parameters beside trained ones another. A tied head uses the embedding's beside its own. Plain data; model/layout.h makes it of a model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "optim/flat_layout.h"

namespace gsnake::plan {

// What all units of a kind have in common.
struct UnitShape {
  optim::FlatLayout flat;    // of what is trained, or of everything where nothing is; a tied head's shared parameter is left out
  bool trained = true;
  optim::FlatLayout frozen;  // of the rest; without parameters: there is none
  double forward_flops_per_token = 0.0;

  [[nodiscard]] double trained_share() const;  // of its parameters
};

struct ModelLayout {
  std::vector<UnitShape> shapes;
  std::vector<int> units;  // the shape of each unit, from the embedding to the head
  std::vector<int> split_units;  // those with frozen parameters beside trained ones: object units.size() + i is what is frozen of the i-th
  std::int64_t hidden = 0;  // last dimension of the hidden states
  std::int64_t vocab = 0;
  bool tied = false;
  std::size_t tied_head_index = 0;  // of the shared parameter among the head's, in registration order
  int tied_object = 0;              // that holds it: one of the embedding's
  std::uint64_t tied_offset = 0;    // of it there, in elements
  std::vector<std::int64_t> tied_sizes;

  void find_split_units();  // of the units and their shapes
  [[nodiscard]] const UnitShape& shape(std::size_t unit) const { return shapes[static_cast<std::size_t>(units.at(unit))]; }
  [[nodiscard]] std::size_t object_count() const { return units.size() + split_units.size(); }
  [[nodiscard]] std::size_t unit_of(std::size_t object) const { return object < units.size() ? object : static_cast<std::size_t>(split_units.at(object - units.size())); }
  [[nodiscard]] bool is_trained(std::size_t object) const { return object < units.size() && shape(object).trained; }
  [[nodiscard]] const optim::FlatLayout& flat(std::size_t object) const { return object < units.size() ? shape(object).flat : shape(unit_of(object)).frozen; }
  [[nodiscard]] bool is_shared(std::size_t object) const { return tied && object == static_cast<std::size_t>(tied_object); }
  [[nodiscard]] std::vector<int> own_objects_of(int unit) const;  // without the embedding's that a tied head uses
  [[nodiscard]] std::vector<int> objects_of(int unit) const;  // as schedule::Unit::objects
  // A hash of the names and sizes of what is frozen in split units; empty: there are none.
  [[nodiscard]] std::string frozen_parameters() const;
  [[nodiscard]] std::vector<int> one_of_each_shape() const;  // the last unit of each, as backward may end above the first; the head comes first
  [[nodiscard]] std::uint64_t largest_object() const;  // in elements
  [[nodiscard]] std::uint64_t parameters() const;  // tied ones once, without padding
};

// Of the buffers for weights in the dtype that is computed in, where they are stored in another.
struct WidenedElements {
  std::uint64_t alone = 0;   // the widest of the objects that are used alone
  std::uint64_t beside = 0;  // the widest of what is frozen beside them
  std::uint64_t shared = 0;  // what a tied head has from the embedding

  [[nodiscard]] std::uint64_t bytes(std::uint64_t width) const;  // of all, in whole pages each
};
WidenedElements widened_elements(const ModelLayout& layout);

// For the optimizer: sorted runs that cover each object's padded elements.
std::vector<std::vector<optim::DecayRun>> decay_runs(const ModelLayout& layout);

}  // namespace gsnake::plan
