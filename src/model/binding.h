// Points a module's parameters and their gradients at memory that the runtime owns.
#pragma once

#include <torch/torch.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "optim/flat_layout.h"

namespace gsnake::model {

// The parameters of `module` and its submodules in registration order: the order of named_parameters() and of every span below.
std::vector<optim::ParameterInfo> parameters_of(const torch::nn::Module& module);

// The module, `module` itself or one inside it, that registered the parameter; null: there is none of that name.
std::shared_ptr<torch::nn::Module> owner_of(torch::nn::Module& module, const std::string& parameter);

// Handles to a module's parameters, taken once so that rebinding them walks no module tree. Shares ownership of the parameter tensors (not
// of the module). Not thread-safe: rebind only between uses of the module. An autograd graph of it that is alive follows: it finds the weights that are bound
// when backward runs, which must have the values that they had in its forward pass.
class ParameterSet {
 public:
  explicit ParameterSet(const torch::nn::Module& module);

  [[nodiscard]] std::size_t size() const noexcept { return parameters_.size(); }
  [[nodiscard]] const std::vector<optim::ParameterInfo>& infos() const noexcept { return infos_; }

  // Lets parameter `index` use the memory of `weight` (same sizes, contiguous, any floating dtype, which the parameter takes on). Whoever
  // owns the memory behind `weight` keeps it alive until the parameter is bound elsewhere. A parameter built on the meta device becomes one
  // of weight's device at its first binding. Throws Error(usage) naming the parameter when the sizes differ.
  void bind(std::size_t index, const torch::Tensor& weight);
  // Makes `gradient` (same sizes, fp32 whatever the parameter's dtype, same ownership rule) the parameter's .grad: backward then adds to it
  // in place, in fp32. An undefined tensor clears .grad. The parameter must have been bound before.
  void set_gradient(std::size_t index, const torch::Tensor& gradient);
  // Whether it takes a gradient from now on.
  void set_trained(std::size_t index, bool trained);

  // All parameters at once; the span has size() entries, else Error(usage).
  void bind(std::span<const torch::Tensor> weights);
  void set_gradients(std::span<const torch::Tensor> gradients);
  void clear_gradients();
  // Leaves the parameters with their sizes and no memory, on the meta device: before what they are bound to goes, where the module may live on.
  void unbind() noexcept;

 private:
  void check_count(std::size_t count) const;
  void check_sizes(std::size_t index, const torch::Tensor& tensor) const;

  std::vector<torch::Tensor> parameters_;
  std::vector<torch::Tensor> bound_;  // what a parameter has the storage of, nobody's but its own and its views': it is moved to the memory of the next weight
  std::vector<optim::ParameterInfo> infos_;
};

// As the members of ParameterSet, for callers outside hot loops.
void bind_parameters(torch::nn::Module& module, std::span<const torch::Tensor> weights);
void set_gradients(torch::nn::Module& module, std::span<const torch::Tensor> gradients);

// A contiguous tensor over memory of `device`, which the caller owns and keeps.
torch::Tensor over(void* base, torch::IntArrayRef sizes, at::ScalarType dtype, c10::Device device = c10::kCPU);

// One tensor of `dtype` per entry of `layout.parameters`, over the flat vector at `base` (layout.elements of that dtype, 64-byte
// aligned, on `device`, owned by the caller, who outlives the tensors and whatever they are bound to).
std::vector<torch::Tensor> views(void* base, const optim::FlatLayout& layout, at::ScalarType dtype = torch::kFloat32, c10::Device device = c10::kCPU);

}  // namespace gsnake::model
