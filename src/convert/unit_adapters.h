// A unit's adapters, to be added to the matrices that they stand beside.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "optim/flat_layout.h"

namespace gsnake::convert {

class UnitAdapters {
 public:
  // `values`: the flat vector of `flat`, of which adapters' parameters are used; flat is borrowed.
  UnitAdapters(const optim::FlatLayout& flat, std::vector<float> values, double scaling);
  // Adds to rows [first, first + values.size() / columns) of the matrix `parameter` what its adapter does to them, in fp32; nothing where it has none.
  void merge(const std::string& parameter, std::uint64_t columns, std::uint64_t first, std::span<float> values) const;
  [[nodiscard]] bool has(const std::string& parameter) const;

 private:
  // Null: there is none of that name.
  [[nodiscard]] const optim::FlatParameter* find(const std::string& parameter, const char* part) const;

  const optim::FlatLayout& flat_;
  const std::vector<float> values_;
  const double scaling_;
};

}  // namespace gsnake::convert
