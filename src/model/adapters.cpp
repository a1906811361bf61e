#include "model/adapters.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "greedysnake/error.h"
#include "model/binding.h"
#include "model/linear.h"

namespace gsnake::model {
namespace {

// As PEFT matches target_modules.
bool names(const std::string& wanted, const std::string& module) { return module == wanted || module.ends_with("." + wanted); }

class Adder {
 public:
  Adder(Model& model, const AdapterConfig& config) : model_(model), config_(config) {
    // Before adapters add names of their own.
    names_ = model.names.tensors;
    if (names_.empty()) throw Error(ErrorKind::usage, "adapter.rank: the model has no map of names, so that its modules can't be told; give it one (Model::names)");
  }

  void run() {
    for (const UnitKind& kind : model_.kinds) {
      for (torch::Tensor& parameter : kind.module->parameters()) parameter.set_requires_grad(false);
    }
    for (const std::string& module : config_.train_whole) train_whole(module);
    for (const std::string& target : config_.targets) add(target);
    model_.initialize_adapter = [](torch::nn::Module& module, std::int64_t) {
      for (const auto& child : module.modules()) {
        if (auto* linear = dynamic_cast<Linear*>(child.get())) linear->initialize_adapter();
      }
    };
  }

 private:
  void train_whole(const std::string& wanted) {
    bool found = false;
    for (const TensorName& name : names_) {
      if (!is_whole(wanted, name.name)) continue;
      found = true;
      set_trained(name.kind, name.parameter);
      // A tied head's is the embedding's, whatever it says itself.
      if (!model_.tied.empty() && name.kind == model_.units.back() && name.parameter == model_.tied[0].head_name) set_trained(model_.units.front(), model_.tied[0].embedding_name);
    }
    if (!found) refuse("train_whole", wanted, false);
  }

  void set_trained(int kind, const std::string& parameter) {
    model_.kinds[static_cast<std::size_t>(kind)].module->named_parameters()[parameter].set_requires_grad(true);
    whole_.insert({kind, parameter});
  }

  void add(const std::string& target) {
    bool found = false;
    for (const TensorName& name : names_) {
      Linear* linear = linear_of(name);
      const bool in_block = name.name.find("{}") != std::string::npos;
      const bool wanted = target == kEveryMatrix ? in_block : names(target, module_of(name.name));
      if (linear == nullptr || !wanted) continue;
      found = true;
      add(name, *linear);
    }
    if (!found) refuse("targets", target, true);
  }

  void add(const TensorName& name, Linear& linear) {
    if (!adapted_.insert({name.kind, name.parameter}).second) return;  // named twice
    const std::string module = module_of(name.name);
    if (whole_.contains({name.kind, name.parameter}))
      throw Error(ErrorKind::usage, fmt::format("adapter.targets: {} is trained whole already (adapter.train_whole); name it in one of them", module));
    if (!model_.tied.empty() && name.kind == model_.units.back() && name.parameter == model_.tied.front().head_name) {
      throw Error(ErrorKind::usage, fmt::format("adapter.targets: {} is tied to the embedding, which an adapter would part it from; leave it out, or train both whole (adapter.train_whole)", module));
    }
    linear.add_adapter({config_.rank, adapter_scaling(config_), config_.dropout, config_.variant == AdapterVariant::dora});
    const std::string own = module_of(name.parameter);
    const auto& sizes = linear.named_parameters(/*recurse=*/false)["weight"].sizes();
    for (const auto& [parameter, ending] : {std::pair{kAdapterA, ".lora_A.weight"}, std::pair{kAdapterB, ".lora_B.weight"}, std::pair{kAdapterMagnitude, ".lora_magnitude_vector"}}) {
      if (parameter == kAdapterMagnitude && config_.variant != AdapterVariant::dora) continue;
      TensorName added{name.kind, own + "." + parameter, kAdapterPrefix + module + ending};
      added.adapter = true;
      model_.names.tensors.push_back(std::move(added));
    }
    double& flops = model_.kinds[static_cast<std::size_t>(name.kind)].forward_flops_per_token;
    if (flops > 0.0) flops += 2.0 * static_cast<double>(config_.rank * (sizes[0] + sizes[1]));
  }

  // Null: the parameter is no linear layer's weight.
  Linear* linear_of(const TensorName& name) const {
    if (!name.parameter.ends_with("weight")) return nullptr;
    return dynamic_cast<Linear*>(owner_of(*model_.kinds[static_cast<std::size_t>(name.kind)].module, name.parameter).get());
  }

  [[noreturn]] void refuse(const char* key, const std::string& wanted, bool matrices) const {
    std::set<std::string> there;
    for (const TensorName& name : names_) {
      if (matrices && linear_of(name) == nullptr) continue;
      const std::string module = module_of(name.name);
      there.insert(module.substr(module.rfind('.') + 1));
    }
    throw Error(ErrorKind::usage, fmt::format("adapter.{}: the model has no module \"{}\" {}; there are {}{}", key, wanted, matrices ? "that is a matrix" : "with weights",
                                              fmt::join(there, ", "), matrices ? ", and \"linear\" for all of the blocks" : ""));
  }

  Model& model_;
  const AdapterConfig& config_;
  std::vector<TensorName> names_;
  std::set<std::pair<int, std::string>> whole_;
  std::set<std::pair<int, std::string>> adapted_;
};

}  // namespace

bool is_whole(const std::string& wanted, const std::string& tensor) { return !wanted.empty() && module_of(tensor).ends_with(wanted); }

std::string module_of(const std::string& tensor) { return tensor.substr(0, tensor.rfind('.')); }

double adapter_scaling(const AdapterConfig& config) {
  const auto rank = static_cast<double>(config.rank);
  return config.alpha / (config.variant == AdapterVariant::rslora ? std::sqrt(rank) : rank);
}

void reset_magnitudes(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  for (const auto& child : module.named_modules()) {
    auto parameters = child.value()->named_parameters(/*recurse=*/false);
    if (parameters.contains(kAdapterMagnitude)) parameters[kAdapterMagnitude].copy_(row_lengths(parameters["weight"]));
  }
}

void add_adapters(Model& model, const AdapterConfig& config) {
  if (config.present()) Adder(model, config).run();
}

}  // namespace gsnake::model
