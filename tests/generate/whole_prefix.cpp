#include "generate/whole_prefix.h"

#include <algorithm>

#include "core/bytes.h"
#include "model/binding.h"
#include "torch/dtype.h"

namespace gsnake::test {

WholePrefix::WholePrefix(Model model, const Config& config, Trainer& trainer) : model_(std::move(model)), dtype_(backend::scalar_type(config.train.dtype)) {
  for (std::size_t unit = 0; unit < model_.units.size(); ++unit) {
    const std::vector<float> flat = trainer.weights(static_cast<std::int64_t>(unit));
    std::vector<torch::Tensor>& tensors = weights_.emplace_back();
    std::size_t offset = 0;
    for (const optim::ParameterInfo& info : model::parameters_of(*model_.kinds[static_cast<std::size_t>(model_.units[unit])].module)) {
      if (unit + 1 == model_.units.size() && !model_.tied.empty() && info.name == model_.tied[0].head_name) {
        const auto names = model::parameters_of(*model_.kinds[0].module);
        const auto shared = std::find_if(names.begin(), names.end(), [&](const auto& name) { return name.name == model_.tied[0].embedding_name; });
        tensors.push_back(weights_[0][static_cast<std::size_t>(shared - names.begin())]);
        continue;
      }
      const torch::Tensor copy = torch::tensor(std::vector<float>(flat.begin() + static_cast<std::ptrdiff_t>(offset), flat.begin() + static_cast<std::ptrdiff_t>(offset + info.numel)));
      tensors.push_back(copy.view(info.sizes).to(dtype_).to(torch::kFloat32));
      offset += core::round_up(info.numel, optim::kParameterAlignment);
    }
  }
}

void WholePrefix::bind(std::size_t unit) {
  torch::nn::Module& module = *model_.kinds[static_cast<std::size_t>(model_.units[unit])].module;
  model::bind_parameters(module, weights_[unit]);
  module.eval();
}

torch::Tensor WholePrefix::logits(const std::vector<std::int64_t>& tokens) {
  const torch::NoGradGuard no_grad;
  const auto module = [&](std::size_t unit) { return model_.kinds[static_cast<std::size_t>(model_.units[unit])].module.get(); };
  bind(0);
  torch::Tensor hidden = dynamic_cast<EmbeddingUnit&>(*module(0)).forward(torch::tensor(tokens, torch::kInt64).unsqueeze(0));
  for (std::size_t unit = 1; unit + 1 < model_.units.size(); ++unit) {
    bind(unit);
    hidden = dynamic_cast<Unit&>(*module(unit)).forward(hidden.to(dtype_).to(torch::kFloat32));
  }
  bind(model_.units.size() - 1);
  return dynamic_cast<HeadUnit&>(*module(model_.units.size() - 1)).logits(hidden.to(dtype_).to(torch::kFloat32)[0]).clone();
}

double WholePrefix::worst_gap(const std::vector<std::int64_t>& prompt, const std::vector<std::int64_t>& added) {
  std::vector<std::int64_t> all = prompt;
  all.insert(all.end(), added.begin(), added.end());
  const torch::Tensor rows = logits(all);
  double worst = 0.0;
  for (std::size_t i = 0; i < added.size(); ++i) {
    const torch::Tensor row = rows[static_cast<std::int64_t>(prompt.size() + i) - 1];
    worst = std::max(worst, (row.max() - row[added[i]]).item<double>());
  }
  return worst;
}

}  // namespace gsnake::test
