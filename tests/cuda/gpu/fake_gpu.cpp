#include "gpu/fake_gpu.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/copy_native.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>
#include <torch/torch.h>

#include <atomic>
#include <cstdio>
#include <mutex>
#include <unordered_map>
#include <unordered_set>

#include "fake/control.h"
#include "gpu/operation.h"

namespace gsnake::fake_gpu {

bool Operation::makes_tensors() const {
  return std::any_of(alias_of.begin(), alias_of.end(), [](int argument) { return argument < 0; });
}

void Operation::run(Stack& stack) const {
  if (stand_in != nullptr) return stand_in(stack);
  handle.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), &stack);
}

namespace {

std::unordered_map<const void*, std::unique_ptr<Operation>>& operations() {
  static auto* all = new std::unordered_map<const void*, std::unique_ptr<Operation>>;  // by schema
  return *all;
}
std::atomic<long> queued{0};
std::atomic<long> awaited{0};

// An operation with all that it needs, on its way to a stream.
struct Queued {
  const Operation* operation = nullptr;
  std::uint64_t draw = 0;  // of a random one
  std::vector<Argument> arguments;
  std::vector<std::vector<Described>> results;  // by result: the new tensors
};

void touch_all(const std::vector<Argument>& arguments) {
  for (const Argument& argument : arguments) {
    for (std::size_t i = 0; i < argument.tensors.size(); ++i) {
      if (!argument.on_host[i].defined()) touch(argument.tensors[i]);
    }
  }
}

void write(const at::Tensor& from, const Described& to, Views& views) {
  if (!from.defined() || !to.defined) return;
  touch(to);
  at::Tensor target = views.of(to);
  TORCH_CHECK(target.sizes() == from.sizes() && target.scalar_type() == from.scalar_type(), "fake GPU: a dry run told the wrong shape");
  target.copy_(from);
}

// As a GPU's kernels do: by where the device's generator stands when they are launched.
std::uint64_t next_draw(const Operation& operation, c10::Device device) {
  if (!operation.random) return 0;
  at::Generator generator = at::globalContext().defaultGenerator(device);
  const std::lock_guard<std::mutex> lock(generator.mutex());
  const std::uint64_t offset = generator.get_offset();
  generator.set_offset(offset + 4);
  return generator.current_seed() + 0x9E3779B97F4A7C15ULL * (offset + 1);
}

void run_with(const Operation& operation, std::uint64_t draw, Stack& stack) {
  if (!operation.random) return operation.run(stack);
  static std::mutex one_at_a_time;
  const std::lock_guard<std::mutex> turn(one_at_a_time);
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  const at::Tensor state = generator.get_state();
  generator.set_current_seed(draw);
  operation.run(stack);
  generator.set_state(state);
}

// On the stream's thread.
void carry_out(void* argument) {
  const std::unique_ptr<Queued> job(static_cast<Queued*>(argument));
  try {
    const BelowAutograd below;
    Views views;
    touch_all(job->arguments);
    Stack stack = stack_of(job->arguments, [&](const Described& tensor) { return views.of(tensor); });
    run_with(*job->operation, job->draw, stack);
    for (std::size_t r = 0; r < job->results.size(); ++r) {
      const std::vector<Described>& made = job->results[r];
      if (made.empty()) continue;
      const c10::IValue& value = stack[stack.size() - job->results.size() + r];
      if (value.isTensor()) {
        write(value.toTensor(), made[0], views);
      } else {
        const std::vector<at::Tensor> list = value.toTensorVector();
        for (std::size_t i = 0; i < made.size(); ++i) write(list[i], made[i], views);
      }
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fake GPU: %s failed on the device: %.400s\n", job->operation->name.c_str(), error.what());
    fake_cuda_break(cudaErrorAssert);  // as an assertion in a kernel does to its context
  }
}

at::Tensor new_tensor(const Shape& shape, c10::Device device) {
  return shape.defined ? at::empty_strided(shape.sizes, shape.strides, at::TensorOptions(shape.dtype).device(device)) : at::Tensor();
}

// One call of an operator on CUDA tensors.
class Call {
 public:
  Call(const Operation& operation, Stack& stack) : operation_(operation), stack_(stack), base_(stack.size() - operation.writes.size()) { take_arguments(); }

  void run() {
    std::shared_ptr<const Results> known;
    const bool shapes_matter = operation_.makes_tensors() || has_empty_output();
    bool waits = operation_.needs_data || needs_data_;
    if (!waits && shapes_matter) {
      known = results_of(operation_, arguments_);
      waits = known == nullptr;
    }
    Stack results = waits ? run_now() : queue(known.get());
    stack_.erase(stack_.begin() + static_cast<std::ptrdiff_t>(base_), stack_.end());
    for (c10::IValue& result : results) stack_.push_back(std::move(result));
  }

 private:
  void take_arguments() {
    for (std::size_t i = 0; i < operation_.writes.size(); ++i) {
      const c10::IValue& value = stack_[base_ + i];
      Argument argument;
      if (value.isTensor()) {
        argument.kind = Argument::Kind::tensor;
        take(argument, value.toTensor(), operation_.writes[i]);
      } else if (value.isTensorList()) {
        argument.kind = Argument::Kind::list;
        for (const at::Tensor& tensor : value.toTensorVector()) take(argument, tensor, operation_.writes[i]);
      } else if (value.isOptionalTensorList()) {
        argument.kind = Argument::Kind::optional_list;
        for (const auto& tensor : value.toOptionalTensorList()) {
          const std::optional<at::Tensor> one = tensor;
          take(argument, one.value_or(at::Tensor()), false);
        }
      } else if (value.isDevice()) {
        argument.value = c10::IValue(c10::Device(c10::kCPU));
        if (!device_ && value.toDevice().is_cuda()) device_ = value.toDevice();
      } else {
        argument.value = value;
      }
      arguments_.push_back(std::move(argument));
    }
    if (!device_) device_ = c10::Device(c10::kCUDA, 0);
  }

  void take(Argument& argument, const at::Tensor& tensor, bool written) {
    at::Tensor on_host;
    if (tensor.defined() && tensor.is_cuda()) {
      if (!device_) device_ = tensor.device();
    } else if (tensor.defined()) {
      TORCH_CHECK(tensor.dim() == 0 || operation_.takes_indices, "Expected all tensors to be on the same device: ", operation_.name, " got one on ", tensor.device(),
                  " beside CUDA's (fake GPU)");
      on_host = tensor.detach().clone();  // its value now, as a kernel's argument
      if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) on_host.unsafeGetTensorImpl()->set_wrapped_number(true);
    }
    if (operation_.takes_indices && tensor.defined() && (tensor.scalar_type() == at::kBool || tensor.scalar_type() == at::kByte)) needs_data_ = true;
    argument.tensors.push_back(describe(tensor, written));
    argument.on_host.push_back(std::move(on_host));
  }

  [[nodiscard]] bool is_empty_output(std::size_t i) const {
    const Argument& argument = arguments_[i];
    return operation_.writes[i] && argument.kind == Argument::Kind::tensor && argument.tensors[0].defined && argument.tensors[0].span_bytes() == 0;
  }
  [[nodiscard]] bool has_empty_output() const {
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      if (is_empty_output(i)) return true;
    }
    return false;
  }
  void grow(std::size_t i, const Shape& shape) {
    const at::Tensor& tensor = stack_[base_ + i].toTensor();
    if (tensor.sizes() == at::IntArrayRef(shape.sizes)) return;
    at::native::resize_output(tensor, shape.sizes);
    tensor.as_strided_(shape.sizes, shape.strides);
    arguments_[i].tensors[0] = describe(tensor, true);
  }

  Stack queue(const Results* known) {
    ++queued;
    if (known != nullptr && has_empty_output()) {
      std::size_t k = 0;
      for (std::size_t i = 0; i < arguments_.size(); ++i) {
        if (operation_.writes[i] && arguments_[i].kind == Argument::Kind::tensor) grow(i, known->outputs[k++]);
      }
    }
    auto job = std::make_unique<Queued>();
    job->operation = &operation_;
    job->draw = next_draw(operation_, *device_);
    Stack results;
    for (std::size_t r = 0; r < operation_.alias_of.size(); ++r) {
      std::vector<Described>& made = job->results.emplace_back();
      if (operation_.alias_of[r] >= 0) {
        results.push_back(stack_[base_ + static_cast<std::size_t>(operation_.alias_of[r])]);
        continue;
      }
      const Result& result = known->results[r];
      const auto tensor = [&](const Shape& shape) {
        at::Tensor fresh = new_tensor(shape, *device_);
        made.push_back(describe(fresh, true));
        return fresh;
      };
      if (result.kind == Result::Kind::value) {
        results.push_back(result.value);
      } else if (result.kind == Result::Kind::tensor) {
        results.emplace_back(tensor(result.shapes[0]));
      } else {
        c10::List<at::Tensor> list;
        for (const Shape& shape : result.shapes) list.push_back(tensor(shape));
        results.emplace_back(std::move(list));
      }
    }
    job->arguments = std::move(arguments_);
    C10_CUDA_CHECK(fake_cuda_launch(c10::cuda::getCurrentCUDAStream(device_->index()).stream(), carry_out, job.get()));
    static_cast<void>(job.release());  // carry_out() has it
    return results;
  }

  // After all that its stream has been given, with the data at hand.
  Stack run_now() {
    ++awaited;
    c10::cuda::getCurrentCUDAStream(device_->index()).synchronize();
    const BelowAutograd below;
    Views views;
    touch_all(arguments_);
    Stack stack = stack_of(arguments_, [&](const Described& tensor) { return views.of(tensor); });
    std::vector<at::Tensor> grown(arguments_.size());
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      if (is_empty_output(i)) stack[i] = grown[i] = at::empty({0}, at::TensorOptions(arguments_[i].tensors[0].dtype));
    }
    run_with(operation_, next_draw(operation_, *device_), stack);
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      if (!grown[i].defined()) continue;
      grow(i, shape_of(grown[i]));
      write(grown[i], arguments_[i].tensors[0], views);
    }
    Stack results;
    const std::size_t count = operation_.alias_of.size();
    for (std::size_t r = 0; r < count; ++r) {
      if (operation_.alias_of[r] >= 0) {
        results.push_back(stack_[base_ + static_cast<std::size_t>(operation_.alias_of[r])]);
        continue;
      }
      const c10::IValue& value = stack[stack.size() - count + r];
      const auto copied = [&](const at::Tensor& tensor) {
        at::Tensor fresh = new_tensor(shape_of(tensor), *device_);
        write(tensor, describe(fresh, true), views);
        return fresh;
      };
      if (value.isTensor()) {
        results.emplace_back(copied(value.toTensor()));
      } else if (value.isTensorList()) {
        c10::List<at::Tensor> list;
        for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(copied(tensor));
        results.emplace_back(std::move(list));
      } else {
        results.push_back(value);
      }
    }
    return results;
  }

  const Operation& operation_;
  Stack& stack_;
  const std::size_t base_;
  std::vector<Argument> arguments_;
  std::optional<c10::Device> device_;
  bool needs_data_ = false;
};

void run_boxed(const c10::OperatorHandle& handle, c10::DispatchKeySet, Stack* stack) { Call(*operations().at(&handle.schema()), *stack).run(); }

void refuse(const c10::OperatorHandle& handle, c10::DispatchKeySet, Stack*) {
  TORCH_CHECK(false, "fake GPU: ", toString(handle.operator_name()), " has a CUDA kernel, and nothing stands in for it on the CPU");
}

// Within the device an operation as others are; between host and device LibTorch's own.
at::Tensor& copy(at::Tensor& self, const at::Tensor& source, bool non_blocking) {
  if (!self.is_cuda() || !source.is_cuda()) return at::native::copy_(self, source, non_blocking);
  static const c10::OperatorHandle handle = c10::Dispatcher::singleton().findSchemaOrThrow("aten::copy_", "");
  Stack stack;
  stack.emplace_back(self);
  stack.emplace_back(source);
  stack.emplace_back(non_blocking);
  run_boxed(handle, {}, &stack);
  return self;
}

// Memory and what crosses between host and device: LibTorch's own, on the fake runtime.
const std::unordered_set<std::string>& kept() {
  static const std::unordered_set<std::string> names{
      "aten::empty",          "aten::empty_strided",    "aten::resize_",     "aten::set_",         "aten::record_stream",     "aten::_local_scalar_dense",
      "aten::_fused_sdp_choice", "aten::is_pinned",     "aten::_pin_memory", "aten::pin_memory",   "aten::is_set_to",         "aten::_resize_output_",
      "aten::_efficientzerotensor", "aten::_copy_from", "aten::_copy_from_and_resize"};
  return names;
}

bool is_view(const c10::FunctionSchema& schema) {
  return std::any_of(schema.returns().begin(), schema.returns().end(), [](const auto& result) { return result.alias_info() != nullptr && !result.alias_info()->isWrite(); });
}

bool returns_values(const c10::FunctionSchema& schema) {
  return std::any_of(schema.returns().begin(), schema.returns().end(), [](const auto& result) {
    const c10::TypeKind kind = result.type()->kind();
    return kind != c10::TypeKind::TensorType && kind != c10::TypeKind::ListType;
  });
}

std::unique_ptr<Operation> operation_of(const c10::OperatorHandle& handle, const std::string& name, OnCpu stand_in) {
  const c10::FunctionSchema& schema = handle.schema();
  auto operation = std::make_unique<Operation>(Operation{handle});
  operation->stand_in = stand_in;
  operation->name = name;
  operation->random = handle.hasTag(at::Tag::nondeterministic_seeded);
  const std::string& base = handle.operator_name().name;
  operation->takes_indices = base == "aten::index" || base == "aten::index_put_" || base == "aten::_index_put_impl_" || base == "aten::_unsafe_index";
  operation->needs_data = stand_in == nullptr && !operation->takes_indices &&
                          (returns_values(schema) || handle.hasTag(at::Tag::dynamic_output_shape) || handle.hasTag(at::Tag::data_dependent_output));
  for (const c10::Argument& argument : schema.arguments()) operation->writes.push_back(argument.alias_info() != nullptr && argument.alias_info()->isWrite());
  for (const c10::Argument& result : schema.returns()) {
    int alias = -1;
    for (std::size_t i = 0; result.alias_info() != nullptr && i < schema.arguments().size(); ++i) {
      const c10::AliasInfo* of = schema.arguments()[i].alias_info();
      if (of != nullptr && *of == *result.alias_info()) alias = static_cast<int>(i);
    }
    operation->alias_of.push_back(alias);
  }
  return operation;
}

class Silence : public c10::WarningHandler {
 public:
  void process(const c10::Warning&) override {}  // that a kernel is registered in place of another
};

void replace_kernels() {
  static auto* library = new torch::Library(torch::Library::IMPL, "aten", c10::DispatchKey::CUDA, __FILE__, __LINE__);
  Silence silence;
  const c10::WarningUtils::WarningHandlerGuard quiet(&silence);
  auto& dispatcher = c10::Dispatcher::singleton();
  for (const c10::OperatorName& name : dispatcher.getAllOpNames()) {
    const auto found = dispatcher.findSchema(name);
    if (!name.name.starts_with("aten::") || !found) continue;
    const bool is_copy = name.name == "aten::copy_";
    if (!is_copy && !found->hasKernelForDispatchKey(c10::DispatchKey::CUDA)) continue;
    if (is_view(found->schema()) || kept().contains(name.name)) continue;
    const std::string full = name.name + (name.overload_name.empty() ? "" : "." + name.overload_name);
    const OnCpu stand_in = stand_in_for(full);
    if (stand_in == nullptr && !is_copy && !found->hasComputedKernelForDispatchKey(c10::DispatchKey::CPU)) {
      library->impl(full.c_str(), torch::CppFunction::makeFromBoxedFunction<&refuse>());
      continue;
    }
    operations()[&found->schema()] = operation_of(*found, full, stand_in);
    if (is_copy) {
      library->impl("copy_", TORCH_FN(copy));
    } else {
      library->impl(full.c_str(), torch::CppFunction::makeFromBoxedFunction<&run_boxed>());
    }
  }
}

}  // namespace

void install() {
  static std::once_flag once;
  std::call_once(once, replace_kernels);
}

Counts counts() { return {queued, awaited}; }

}  // namespace gsnake::fake_gpu
