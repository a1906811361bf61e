// What a run's config means to the reference loop.
#pragma once

#include <map>
#include <string>

#include "greedysnake/config.h"
#include "reference/reference_loop.h"
#include "torch/dtype.h"

namespace gsnake::reference {

inline void set_numbers(Options& options, const Config& config) {
  const std::map<std::string, Rule> rules{{"adamw", Rule::adamw}, {"adam", Rule::adam}, {"lion", Rule::lion}, {"sgd", Rule::sgd}};
  options.rule = rules.at(config.optimizer.name);
  options.bf16_moments = config.optimizer.moments == "bf16";
  options.gradient_clipping = config.optimizer.gradient_clipping;
  const bool fp16 = config.train.dtype == "fp16";
  const bool skips = config.train.on_nonfinite == "skip" || (config.train.on_nonfinite == "auto" && fp16);
  options.on_nonfinite = skips ? OnNonfinite::skip : OnNonfinite::stop;
  options.dtype = backend::dtype_of(config.train.dtype);
  options.compute = backend::resolve_compute_dtype(config.train.dtype, config.train.compute_dtype, backend::cpu_has_bf16_units());
  options.loss_scale.dynamic = config.train.loss_scale < 0.0;
  if (!options.loss_scale.dynamic) options.loss_scale.initial = static_cast<float>(config.train.loss_scale);
}

inline Options options_of(const Config& config) {
  const bool ascending = config.train.schedule == "horizontal" || config.train.order == "ascending";
  Options options;
  options.hyper = {config.optimizer.beta1, config.optimizer.beta2, config.optimizer.epsilon, config.optimizer.weight_decay};
  set_numbers(options, config);
  options.decay_1d = config.optimizer.decay_1d;
  options.seed = config.train.seed;
  options.head_chunk = config.train.head_chunk;
  options.order = ascending ? Order::ascending : Order::snake;
  return options;
}

}  // namespace gsnake::reference
