#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <mutex>
#include <sstream>
#include <unordered_map>

#include "gpu/operation.h"

namespace gsnake::fake_gpu {
namespace {

void append(std::string& text, const void* bytes, std::size_t count) { text.append(static_cast<const char*>(bytes), count); }

template <typename T>
void append_value(std::string& text, const T& value) {
  append(text, &value, sizeof(value));
}

void append_value(std::string& text, const c10::IValue& value) {
  if (value.isInt()) {
    append_value(text, value.toInt());
  } else if (value.isDouble()) {
    append_value(text, value.toDouble());
  } else if (value.isBool()) {
    text += value.toBool() ? 'T' : 'F';
  } else if (value.isIntList()) {
    for (const std::int64_t x : value.toIntVector()) append_value(text, x);
  } else if (!value.isNone() && !value.isGenerator()) {
    std::ostringstream out;
    out << value;
    text += out.str();
  }
}

std::string signature(const Operation& operation, const std::vector<Argument>& arguments) {
  std::string text;
  append_value(text, &operation);
  for (const Argument& argument : arguments) {
    text += static_cast<char>('a' + static_cast<int>(argument.kind));
    if (argument.kind == Argument::Kind::value) {
      append_value(text, argument.value);
      continue;
    }
    for (const Described& tensor : argument.tensors) {
      text += {static_cast<char>(tensor.defined), static_cast<char>(tensor.wrapped_number), static_cast<char>(tensor.dtype), static_cast<char>(tensor.sizes.size())};
      append(text, tensor.sizes.data(), sizeof(std::int64_t) * tensor.sizes.size());
      append(text, tensor.strides.data(), sizeof(std::int64_t) * tensor.strides.size());
    }
  }
  return text;
}

at::Tensor zeros_like(const Described& tensor) {
  if (!tensor.defined) return {};
  at::Tensor zeros = at::empty_strided(tensor.sizes, tensor.strides, at::TensorOptions(tensor.dtype)).zero_();
  if (tensor.wrapped_number) zeros.unsafeGetTensorImpl()->set_wrapped_number(true);
  return zeros;
}

Result result_of(const c10::IValue& value, bool is_alias) {
  Result result;
  if (is_alias) return result;
  if (value.isTensor()) {
    result.kind = Result::Kind::tensor;
    result.shapes.push_back(shape_of(value.toTensor()));
  } else if (value.isTensorList()) {
    result.kind = Result::Kind::list;
    for (const at::Tensor& tensor : value.toTensorVector()) result.shapes.push_back(shape_of(tensor));
  } else {
    result.kind = Result::Kind::value;
    result.value = value;
  }
  return result;
}

Results by_dry_run(const Operation& operation, const std::vector<Argument>& arguments) {
  const BelowAutograd below;
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  const at::Tensor state = operation.random ? generator.get_state() : at::Tensor();
  Stack stack = stack_of(arguments, zeros_like);
  std::vector<at::Tensor> written;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (operation.writes[i] && arguments[i].kind == Argument::Kind::tensor) written.push_back(stack[i].toTensor());
  }
  operation.run(stack);
  if (operation.random) generator.set_state(state);
  Results all;
  const std::size_t count = operation.alias_of.size();
  for (std::size_t r = 0; r < count; ++r) all.results.push_back(result_of(stack[stack.size() - count + r], operation.alias_of[r] >= 0));
  for (const at::Tensor& tensor : written) all.outputs.push_back(shape_of(tensor));
  return all;
}

}  // namespace

Shape shape_of(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  Shape shape{true, tensor.scalar_type(), tensor.sizes().vec(), tensor.strides().vec()};
  if (!tensor.is_non_overlapping_and_dense()) shape.strides = at::empty(shape.sizes, at::device(at::kMeta)).strides().vec();
  return shape;
}

std::shared_ptr<const Results> results_of(const Operation& operation, const std::vector<Argument>& arguments) {
  static std::mutex mutex;
  static std::unordered_map<std::string, std::shared_ptr<const Results>> known;
  const std::string key = signature(operation, arguments);
  {
    const std::lock_guard lock(mutex);
    const auto found = known.find(key);
    if (found != known.end()) return found->second;
  }
  std::shared_ptr<const Results> results;
  try {
    results = std::make_shared<const Results>(by_dry_run(operation, arguments));
  } catch (const std::exception&) {  // an index out of range among zeros, say
  }
  const std::lock_guard lock(mutex);
  return known[key] = results;
}

}  // namespace gsnake::fake_gpu
