// One of LibTorch's operators as the fake GPU carries it out.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <memory>
#include <string>
#include <vector>

#include "gpu/described.h"

namespace gsnake::fake_gpu {

using Stack = torch::jit::Stack;
using OnCpu = void (*)(Stack&);  // what stands in on the CPU for an operator that only CUDA has: arguments in, results out

struct Operation {
  c10::OperatorHandle handle;
  OnCpu stand_in = nullptr;
  std::string name = {};
  bool needs_data = false;      // its result's shape, or a value on the host, depends on data
  bool random = false;
  bool takes_indices = false;   // CPU tensors among its arguments are indices
  std::vector<bool> writes = {};     // by argument
  std::vector<int> alias_of = {};    // by result: the argument that it is; -1: a new tensor
  [[nodiscard]] bool makes_tensors() const;

  void run(Stack& stack) const;  // on CPU tensors, below autograd
};

// An argument with its CUDA tensors described.
struct Argument {
  enum class Kind { value, tensor, list, optional_list } kind = Kind::value;
  c10::IValue value;
  std::vector<Described> tensors;
  std::vector<at::Tensor> on_host;  // by tensor: those that are the CPU's; else undefined
};

// A stack of the arguments, where `tensor` makes the CPU tensor of each described one.
template <typename MakeTensor>
Stack stack_of(const std::vector<Argument>& arguments, MakeTensor&& tensor);

struct Shape {
  bool defined = false;
  at::ScalarType dtype = at::kFloat;
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;
};
Shape shape_of(const at::Tensor& tensor);

struct Result {
  enum class Kind { alias, value, tensor, list } kind = Kind::alias;
  c10::IValue value;
  std::vector<Shape> shapes;
};
struct Results {
  std::vector<Result> results;
  std::vector<Shape> outputs;  // of the tensors that are written, in argument order: an empty out= argument grows to it
};

// What an operation on such arguments gives, by a dry run on zeros, remembered by shape. Null: only real data can tell.
std::shared_ptr<const Results> results_of(const Operation& operation, const std::vector<Argument>& arguments);

// Of "aten::name.overload": those that only CUDA has; null for others.
OnCpu stand_in_for(const std::string& name);

// The state of dispatch inside a kernel, on any thread.
struct BelowAutograd {
  at::AutoDispatchBelowADInplaceOrView below;
  at::NoGradGuard no_grad;
};

template <typename MakeTensor>
Stack stack_of(const std::vector<Argument>& arguments, MakeTensor&& tensor) {
  Stack stack;
  for (const Argument& argument : arguments) {
    const auto made = [&](std::size_t i) { return argument.on_host[i].defined() ? argument.on_host[i] : tensor(argument.tensors[i]); };
    switch (argument.kind) {
      case Argument::Kind::value: stack.push_back(argument.value); break;
      case Argument::Kind::tensor: stack.emplace_back(made(0)); break;
      case Argument::Kind::list: {
        c10::List<at::Tensor> list;
        for (std::size_t i = 0; i < argument.tensors.size(); ++i) list.push_back(made(i));
        stack.emplace_back(std::move(list));
        break;
      }
      case Argument::Kind::optional_list: {
        c10::List<std::optional<at::Tensor>> list;
        for (std::size_t i = 0; i < argument.tensors.size(); ++i) {
          const at::Tensor one = made(i);
          list.push_back(one.defined() ? std::optional(one) : std::nullopt);
        }
        stack.emplace_back(std::move(list));
        break;
      }
    }
  }
  return stack;
}

}  // namespace gsnake::fake_gpu
