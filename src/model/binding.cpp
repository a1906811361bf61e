#include "model/binding.h"

#include <exception>
#include <sstream>

#include "core/log.h"
#include "greedysnake/error.h"

namespace gsnake::model {

std::vector<optim::ParameterInfo> parameters_of(const torch::nn::Module& module) {
  std::vector<optim::ParameterInfo> infos;
  for (const auto& item : module.named_parameters()) {
    const torch::Tensor& parameter = item.value();
    infos.push_back(
        {item.key(), parameter.sizes().vec(), static_cast<std::uint64_t>(parameter.numel()), static_cast<int>(parameter.dim()),
         parameter.requires_grad()});
  }
  return infos;
}

std::shared_ptr<torch::nn::Module> owner_of(torch::nn::Module& module, const std::string& parameter) {
  const std::size_t dot = parameter.rfind('.');
  const std::string owner = dot == std::string::npos ? "" : parameter.substr(0, dot);
  for (const auto& child : module.named_modules()) {
    if (child.key() == owner && child.value()->named_parameters(/*recurse=*/false).contains(parameter.substr(dot + 1))) return child.value();
  }
  return nullptr;
}

ParameterSet::ParameterSet(const torch::nn::Module& module) : parameters_(module.parameters()), bound_(parameters_.size()), infos_(parameters_of(module)) {}

void ParameterSet::check_count(std::size_t count) const {
  if (count == size()) return;
  throw Error(ErrorKind::usage, "binding a module: " + std::to_string(count) + " tensors for " + std::to_string(size()) +
                                    " parameters; give one for each, in registration order");
}

void ParameterSet::check_sizes(std::size_t index, const torch::Tensor& tensor) const {
  const optim::ParameterInfo& info = infos_.at(index);
  if (tensor.sizes() == torch::IntArrayRef(info.sizes) && tensor.is_contiguous()) return;
  std::ostringstream message;
  message << "binding parameter '" << info.name << "': it is " << torch::IntArrayRef(info.sizes) << ", the tensor is " << tensor.sizes()
          << (tensor.is_contiguous() ? "" : " and not contiguous") << "; give a contiguous tensor of the parameter's sizes";
  throw Error(ErrorKind::usage, message.str());
}

void ParameterSet::bind(std::size_t index, const torch::Tensor& weight) {
  check_sizes(index, weight);
  torch::Tensor& parameter = parameters_[index];
  if (parameter.is_meta() && !weight.is_meta()) {
    // set_data() refuses to cross from meta to a real device; all that it compares are these dispatch keys.
    parameter.unsafeGetTensorImpl()->_change_backend_component_keys(weight.device());
  }
  if (weight.is_meta()) return parameter.set_data(weight);
  torch::Tensor& bound = bound_[index];
  const bool moves = bound.defined() && bound.scalar_type() == weight.scalar_type() && bound.device() == weight.device() && parameter.is_alias_of(bound);
  if (moves) {
    bound.storage().set_data_ptr_noswap({weight.data_ptr(), weight.device()});
  } else {
    bound = over(weight.data_ptr(), weight.sizes(), weight.scalar_type(), weight.device());
    parameter.set_data(bound);
  }
  // Autograd otherwise refuses an fp32 gradient of a 16-bit parameter, and would add micro-batches up in 16 bits.
  if (weight.scalar_type() != torch::kFloat32 && parameter.requires_grad()) parameter.set_grad_dtype(torch::kFloat32);
}

void ParameterSet::set_trained(std::size_t index, bool trained) { parameters_.at(index).set_requires_grad(trained); }

void ParameterSet::set_gradient(std::size_t index, const torch::Tensor& gradient) {
  if (gradient.defined()) check_sizes(index, gradient);
  parameters_.at(index).mutable_grad() = gradient;
}

void ParameterSet::bind(std::span<const torch::Tensor> weights) {
  check_count(weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i) bind(i, weights[i]);
}

void ParameterSet::set_gradients(std::span<const torch::Tensor> gradients) {
  check_count(gradients.size());
  for (std::size_t i = 0; i < gradients.size(); ++i) set_gradient(i, gradients[i]);
}

void ParameterSet::clear_gradients() {
  for (torch::Tensor& parameter : parameters_) parameter.mutable_grad() = torch::Tensor();
}

void ParameterSet::unbind() noexcept {
  try {
    clear_gradients();
    bound_.assign(bound_.size(), {});
    for (torch::Tensor& parameter : parameters_) {
      if (parameter.is_meta()) continue;
      const torch::Tensor nothing = torch::empty(parameter.sizes(), parameter.options().device(torch::kMeta).requires_grad(false));
      parameter.unsafeGetTensorImpl()->_change_backend_component_keys(torch::kMeta);  // as in bind(), the other way
      parameter.set_data(nothing);
    }
  } catch (const std::exception& error) {
    spdlog::error("a module's parameters keep pointing to memory that is gone: {}", error.what());
  }
}

void bind_parameters(torch::nn::Module& module, std::span<const torch::Tensor> weights) { ParameterSet(module).bind(weights); }

void set_gradients(torch::nn::Module& module, std::span<const torch::Tensor> gradients) { ParameterSet(module).set_gradients(gradients); }

torch::Tensor over(void* base, torch::IntArrayRef sizes, at::ScalarType dtype, c10::Device device) {
  return at::for_blob(base, sizes).options(at::TensorOptions(dtype).device(device)).target_device(device).make_tensor();
}

std::vector<torch::Tensor> views(void* base, const optim::FlatLayout& layout, at::ScalarType dtype, c10::Device device) {
  auto* bytes = static_cast<std::byte*>(base);
  const std::uint64_t size = c10::elementSize(dtype);
  std::vector<torch::Tensor> tensors;
  tensors.reserve(layout.parameters.size());
  for (const optim::FlatParameter& parameter : layout.parameters) {
    tensors.push_back(over(bytes + parameter.offset * size, parameter.info.sizes, dtype, device));
  }
  return tensors;
}

}  // namespace gsnake::model
