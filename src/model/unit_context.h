// What a unit is told beside its input.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "greedysnake/cached_unit.h"

namespace gsnake::model {

struct UnitContext {
  bool adapters = true;  // false: the layers compute as if they had none
  // Of packed documents: by row, where each begins, the first at 0. Empty: a row is one. Borrowed.
  std::span<const std::vector<std::int32_t>> starts;
  TokenCache* cache = nullptr;  // units are called with it: forward_cached(); null: forward(). Borrowed
};

// Of the calling thread's forward passes.
UnitContext& unit_context();

}  // namespace gsnake::model
