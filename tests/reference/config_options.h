// What a run's config means to the reference loop.
#pragma once

#include "greedysnake/config.h"
#include "reference/reference_loop.h"

namespace gsnake::reference {

inline Options options_of(const Config& config) {
  const bool ascending = config.train.schedule == "horizontal" || config.train.order == "ascending";
  Options options;
  options.hyper = {config.optimizer.beta1, config.optimizer.beta2, config.optimizer.epsilon, config.optimizer.weight_decay};
  options.decay_1d = config.optimizer.decay_1d;
  options.seed = config.train.seed;
  options.head_chunk = config.train.head_chunk;
  options.order = ascending ? Order::ascending : Order::snake;
  return options;
}

}  // namespace gsnake::reference
