// A model as the schedule and the store see it: flat objects, of which each unit has one of the unit's number, and those that keep frozen
// parameters beside trained ones another. A tied head uses the embedding's beside its own. Plain data; model/layout.h makes it of a model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "optim/flat_layout.h"
#include "quant/format.h"

namespace gsnake::plan {

// A frozen parameter as a base holds it.
struct PackedParameter {
  quant::Format format = quant::Format::fp32;
  std::uint64_t offset = 0;  // in bytes of the object
};

// What all units of a kind have in common.
struct UnitShape {
  optim::FlatLayout flat;    // of what is trained, or of everything where nothing is; a tied head's shared parameter is left out
  bool trained = true;
  optim::FlatLayout frozen;  // of the rest; without parameters: there is none
  std::vector<PackedParameter> packed;  // of what is frozen, in the order of its flat layout; empty: it is stored in the run, unpacked
  std::uint64_t packed_bytes = 0;       // of the unit in the base
  double forward_flops_per_token = 0.0;

  [[nodiscard]] bool is_packed() const { return !packed.empty(); }
  [[nodiscard]] const optim::FlatLayout& what_is_frozen() const { return trained ? frozen : flat; }
  [[nodiscard]] double trained_share() const;  // of its parameters
};

// Whether a parameter of that name is an adapter's, whatever module it belongs to.
bool is_adapter_parameter(std::string_view name);

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
  [[nodiscard]] bool is_packed(std::size_t object) const { return !is_trained(object) && shape(unit_of(object)).is_packed(); }
  [[nodiscard]] bool is_shared(std::size_t object) const { return tied && object == static_cast<std::size_t>(tied_object); }
  struct Place {
    std::size_t object = 0;
    std::size_t parameter = 0;  // of its flat layout
  };
  // Of a unit's own parameter; nothing: it has none of that name.
  [[nodiscard]] std::optional<Place> find(std::size_t unit, std::string_view parameter) const;
  [[nodiscard]] std::vector<int> own_objects_of(int unit) const;  // without the embedding's that a tied head uses
  [[nodiscard]] std::vector<int> objects_of(int unit) const;  // as schedule::Unit::objects
  // A hash of the names and sizes of what is frozen in split units; empty: there are none.
  [[nodiscard]] std::string frozen_parameters() const;
  [[nodiscard]] std::vector<int> one_of_each_shape() const;  // the last unit of each, as backward may end above the first; the head comes first
  [[nodiscard]] std::uint64_t largest_object() const;  // in elements
  [[nodiscard]] std::uint64_t parameters() const;  // tied ones once, without padding
  [[nodiscard]] std::uint64_t trained_parameters() const;
};

// Of the buffers for weights in the dtype that is computed in, where they are stored in another.
struct WidenedElements {
  std::uint64_t alone = 0;   // the widest of the objects that are used alone
  std::uint64_t beside = 0;  // the widest of what is frozen beside them
  std::uint64_t shared = 0;  // what a tied head has from the embedding

  [[nodiscard]] std::uint64_t bytes(std::uint64_t width) const;  // of all, in whole pages each
};
WidenedElements widened_elements(const ModelLayout& layout);

// Frozen weights that are packed are computed with in the dtype of the rest: a unit's matrices as a whole, for all its micro-batches, where they
// take at most so much of the device budget; else in parts, whenever one is multiplied with. Both give the same bits. Of an embedding, rows.
inline constexpr double kMostDequantised = 0.25;
bool dequantised_whole(const ModelLayout& layout, std::size_t shape, std::uint64_t most_bytes, std::uint64_t width);
// Elements of the matrices that are dequantised at once: part of the maths (model/frozen_rows.h).
inline constexpr std::uint64_t kDequantisedAtOnce = 1ULL << 24;

// Of the matrices of a unit of that shape that are packed; of an embedding, whose rows are looked up, none.
std::uint64_t packed_matrix_elements(const ModelLayout& layout, std::size_t shape);

struct DequantisedElements {
  std::uint64_t whole = 0;    // of the widest unit that is dequantised as a whole
  std::uint64_t part = 0;     // of the widest part of one that is not
  std::uint64_t vectors = 0;  // parameters of one dimension

  [[nodiscard]] std::uint64_t bytes(std::uint64_t width) const;
};
DequantisedElements dequantised_elements(const ModelLayout& layout, std::uint64_t most_bytes, std::uint64_t width);

// For the optimizer: sorted runs that cover each object's padded elements.
std::vector<std::vector<optim::DecayRun>> decay_runs(const ModelLayout& layout);

}  // namespace gsnake::plan
