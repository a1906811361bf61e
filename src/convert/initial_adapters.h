// What a new run's adapters start with: the model's own initial values, made unit by unit as they are asked for.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "convert/import_plan.h"

namespace gsnake::convert {

// Reads elements [first, first + out.size()) of a parameter of a unit: of what an adapter stands beside.
using ReadBase = std::function<void(std::size_t unit, const std::string& parameter, std::uint64_t first, std::span<float> out)>;

// Borrows model (whose adapters' parameters are rebound) and layout. Holds the values of one unit at a time.
class InitialAdapters : public std::enable_shared_from_this<InitialAdapters> {
 public:
  InitialAdapters(const Model& model, const plan::ModelLayout& layout, std::uint64_t seed, ReadBase base);
  // As long as this lives.
  ParameterSource source(std::size_t object, const optim::FlatParameter& parameter);
  // The object's flat vector, zero but for adapters' parameters; valid until the next call.
  const std::vector<float>& values_of(std::size_t object);

 private:
  void set_lengths(std::size_t unit, const std::string& parameter, std::span<float> out) const;

  const Model& model_;
  const plan::ModelLayout& layout_;
  const std::uint64_t seed_;
  const ReadBase base_;
  std::size_t object_ = static_cast<std::size_t>(-1);
  std::vector<float> values_;
};

// Magnitudes' start: the lengths of the rows of (rows, columns), read in pieces through `read`.
void read_row_lengths(std::int64_t rows, std::int64_t columns, const std::function<void(std::uint64_t first, std::span<float> out)>& read, std::span<float> out);

}  // namespace gsnake::convert
