// What the tests of the reference programs have in common.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/binding.h"
#include "model/seeding.h"
#include "reference/plain_model.h"
#include "reference/reference_loop.h"

namespace gsnake::reference {

inline std::vector<MicroBatch> some_batches(const ModelConfig& config, std::size_t count, std::uint64_t seed) {
  model::seed_unit(seed, 1, 1, 1);
  std::vector<MicroBatch> batches;
  for (std::size_t m = 0; m < count; ++m) {
    const torch::Tensor tokens = torch::randint(config.vocab, {2, config.context + 1}, torch::kInt64);
    batches.push_back({tokens.narrow(1, 0, config.context).contiguous(), tokens.narrow(1, 1, config.context).contiguous()});
  }
  return batches;
}

inline std::map<std::string, torch::Tensor> named_weights(const ReferenceLoop& loop) {
  std::map<std::string, torch::Tensor> weights;
  for (std::int64_t unit = 0; unit < loop.units(); ++unit) {
    const auto& layout = loop.layout(unit);
    const auto views = model::views(loop.weights(unit).data_ptr<float>(), layout);
    for (std::size_t i = 0; i < views.size(); ++i) {
      weights[std::to_string(unit) + "." + layout.parameters[i].info.name] = views[i].clone();
    }
  }
  return weights;
}

inline std::vector<std::pair<torch::Tensor, torch::Tensor>> pairs_of(const std::vector<MicroBatch>& batches) {
  std::vector<std::pair<torch::Tensor, torch::Tensor>> pairs;
  for (const MicroBatch& batch : batches) pairs.emplace_back(batch.ids, batch.labels);
  return pairs;
}

// |a - b| / |b - start| of one tensor.
inline double update_error(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& start) {
  return ((a - b).norm() / (b - start).norm()).item<double>();
}

}  // namespace gsnake::reference
