// A unit's parameters as one flat vector of elements, of whatever dtype: how the store, the optimizer and the gradient accumulators see
// them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "optim/optimizer.h"

namespace gsnake::optim {

// Every parameter starts on a multiple of this many elements: in fp32 64 bytes, a cache line and the widest vector register; in 16 bits
// half of that.
inline constexpr std::uint64_t kParameterAlignment = 16;

// One parameter of a module, named as in named_parameters().
struct ParameterInfo {
  std::string name;
  std::vector<std::int64_t> sizes;
  std::uint64_t numel = 0;
  int dims = 0;
  bool trained = true;  // it takes gradients (requires_grad)
};

// Where a parameter lies in the flat vector.
struct FlatParameter {
  ParameterInfo info;
  std::size_t index = 0;     // in the module's parameters, registration order
  std::uint64_t offset = 0;  // in elements, a multiple of kParameterAlignment
  bool decays = false;       // weight decay applies
};

// Elements between the end of one parameter and the next offset are padding: zero at initialization and, since their gradients are zero and
// AdamW maps zero to zero, for ever.
struct FlatLayout {
  std::vector<FlatParameter> parameters;  // in registration order, without the excluded one
  std::uint64_t elements = 0;             // padding included; a multiple of kParameterAlignment

  // Sorted runs that cover [0, padded_elements), neighbours merged; padding goes with the parameter before it. Throws Error(usage) when
  // padded_elements < elements.
  [[nodiscard]] std::vector<DecayRun> decay_runs(std::uint64_t padded_elements) const;
};

// Lays `parameters` out in their order; with `trained`, those alone that take gradients, or those that take none. Tensors of two dimensions and more decay, others only if `decay_1d`. `excluded` names a parameter
// that is stored elsewhere (a tied head weight, which is the embedding's); empty: none. Throws Error(usage) when that name is not among
// them.
FlatLayout make_flat_layout(std::span<const ParameterInfo> parameters, bool decay_1d, std::string_view excluded = {}, std::optional<bool> trained = {});

}  // namespace gsnake::optim
