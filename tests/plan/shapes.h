// Models as plans see them, made up without a module.
#pragma once

#include <string>
#include <vector>

#include "greedysnake/config.h"
#include "plan/model_layout.h"

namespace gsnake::plan::test {

inline optim::ParameterInfo matrix(const std::string& name, std::int64_t rows, std::int64_t columns) {
  return {name, {rows, columns}, static_cast<std::uint64_t>(rows * columns), 2};
}
inline optim::ParameterInfo vector(const std::string& name, std::int64_t size) {
  return {name, {size}, static_cast<std::uint64_t>(size), 1};
}

inline UnitShape shape_of(const std::vector<optim::ParameterInfo>& parameters, const std::string& excluded = "") {
  UnitShape shape;
  shape.flat = optim::make_flat_layout(parameters, false, excluded);
  return shape;
}

// The shapes of models::gpt2(config).
inline ModelLayout gpt2_layout(const ModelConfig& model) {
  const std::int64_t h = model.hidden;
  ModelLayout layout;
  layout.hidden = h;
  layout.vocab = model.vocab;
  layout.tied = model.tie_embeddings;
  layout.shapes = {shape_of({matrix("wte.weight", model.vocab, h), matrix("wpe.weight", model.context, h)}),
                   shape_of({vector("ln_1.weight", h), vector("ln_1.bias", h), matrix("attn.c_attn.weight", 3 * h, h),
                             vector("attn.c_attn.bias", 3 * h), matrix("attn.c_proj.weight", h, h), vector("attn.c_proj.bias", h),
                             vector("ln_2.weight", h), vector("ln_2.bias", h), matrix("mlp.c_fc.weight", 4 * h, h),
                             vector("mlp.c_fc.bias", 4 * h), matrix("mlp.c_proj.weight", h, 4 * h), vector("mlp.c_proj.bias", h)}),
                   shape_of({vector("ln_f.weight", h), vector("ln_f.bias", h), matrix("lm_head.weight", model.vocab, h)},
                            model.tie_embeddings ? "lm_head.weight" : "")};
  layout.units.assign(static_cast<std::size_t>(model.layers) + 2, 1);
  layout.units.front() = 0;
  layout.units.back() = 2;
  return layout;
}

// Of blocks that train an adapter beside weights that are frozen.
inline void freeze_blocks(ModelLayout& layout) {
  UnitShape& block = layout.shapes[1];
  block.frozen = block.flat;
  block.flat = shape_of({matrix("a.weight", 8, layout.hidden), matrix("b.weight", layout.hidden, 8)}).flat;
  layout.find_split_units();
}

}  // namespace gsnake::plan::test
