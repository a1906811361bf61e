// The objects of shares_support.h as a schedule has them.
#pragma once

#include "schedule/problem.h"
#include "store/shares_support.h"

namespace gsnake::checkpoint {

inline schedule::Object object_of(const store::testing::SharedObject& shared) {
  schedule::Object object;
  object.elements = shared.elements;
  object.trained = shared.trained;
  object.weight_bytes = 2;
  object.master = shared.trained;
  object.state_bytes = shared.trained ? std::vector<std::uint64_t>{2, 4, 4} : std::vector<std::uint64_t>{};
  return object;
}

}  // namespace gsnake::checkpoint
