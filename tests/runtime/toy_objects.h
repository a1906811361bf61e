// What the toy model is made of: parameters in the formats that objects may have, and an optimizer for each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "optim/optimizer.h"
#include "schedule/problem.h"

namespace gsnake::runtime::test {

// Of one object, as it is stored: its cells.
struct ToyObject {
  std::vector<std::byte> weights;
  std::vector<std::vector<std::byte>> states;  // the master's part first, where there is one

  bool operator==(const ToyObject&) const = default;
};

// Makes it a trained object, stored as `spec` says.
void set_format(schedule::Object& object, const optim::OptimizerSpec& spec);
// Of weights that are not packed.
optim::WeightFormat format_of(const schedule::Object& object);
// The toy's packed format, much as quantised weights have it: blocks of 64 elements, an fp32 scale and 64 signed bytes each, and bytes of no
// meaning.
std::uint64_t toy_packed_bytes(std::uint64_t elements);
// In fp32; `wide` has room for the elements.
void widen(const schedule::Object& object, const std::byte* weights, float* wide);

// Random values, moments included; zeros in the padding.
std::vector<ToyObject> initial_objects(const schedule::Problem& problem, std::uint64_t seed);
// The first half of each object's elements decays.
std::vector<std::vector<optim::DecayRun>> decay_runs(const schedule::Problem& problem);

// By object, null where it is frozen.
class ToyOptimizers {
 public:
  ToyOptimizers(const schedule::Problem& problem, const optim::OptimizerSpec& spec, optim::Target target = optim::Target::best);
  [[nodiscard]] const std::vector<const optim::Optimizer*>& by_object() const { return by_object_; }

 private:
  std::map<optim::WeightFormat, std::unique_ptr<optim::Optimizer>> made_;
  std::vector<const optim::Optimizer*> by_object_;
};

}  // namespace gsnake::runtime::test
