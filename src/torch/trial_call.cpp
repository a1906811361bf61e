#include "torch/trial_call.h"

#include <exception>

#include "model/binding.h"
#include "model/seeding.h"
#include "plan/problem.h"
#include "schedule/problem.h"

namespace gsnake::backend {
namespace {

using schedule::Op;

// Backward goes down to it.
int first_trained_unit(const plan::ModelLayout& layout) {
  int unit = 0;
  while (static_cast<std::size_t>(unit) < layout.units.size() && !layout.is_trained(static_cast<std::size_t>(unit))) ++unit;
  return unit;
}

}  // namespace

TrialCall::TrialCall(device::Device& device, const plan::ModelLayout& layout, const ComputeShape& shape, int unit, bool training) {
  const int last = static_cast<int>(layout.units.size()) - 1;
  const auto slot = [&](bool wanted, std::uint64_t elements, at::ScalarType dtype) {
    if (!wanted) return device::DevicePtr();
    slots_.push_back({device.device_alloc(elements * c10::elementSize(dtype)), static_cast<std::int64_t>(elements), dtype});
    return slots_.back().memory.data();
  };
  for (int object : layout.objects_of(unit)) {
    const auto o = static_cast<std::size_t>(object);
    if (layout.is_packed(o)) {
      uses_.push_back({object, slot(true, layout.shape(layout.unit_of(o)).packed_bytes, torch::kUInt8), {}, true});
      continue;
    }
    const std::uint64_t elements = schedule::padded_elements(layout.flat(o).elements);
    uses_.push_back({object, slot(true, elements, shape.weights()), slot(training && layout.is_trained(o), elements, torch::kFloat32), true});
  }
  const auto state = static_cast<std::uint64_t>(shape.passes * shape.rows * shape.tokens * layout.hidden);
  forward_.op = unit != last ? Op::forward : training ? Op::head : Op::head_forward;
  forward_.unit = unit;
  forward_.uses = uses_;
  forward_.input = slot(true, state, shape.storage);
  forward_.output_gradient = slot(true, state, shape.storage);
  forward_.output = slot(true, state, shape.storage);
  forward_.ids = slot(true, static_cast<std::uint64_t>(shape.rows * shape.tokens), torch::kInt64);
  forward_.loss = slot(true, static_cast<std::uint64_t>(plan::head_results(shape.passes)), torch::kFloat64);
  has_backward_ = training && unit != last && unit >= first_trained_unit(layout);
  backward_ = forward_;
  backward_.op = Op::backward;
  if (unit == 0) backward_.output = {};
}

void TrialCall::fill_with_noise(device::Device& device, const ComputeShape& shape, std::int64_t vocab) {
  constexpr double kSmall = 0.05;
  run(device, [&](const device::ComputeScope& scope) {
    const model::RandomScope random(shape.device());
    for (const Slot& slot : slots_) {
      torch::Tensor values = model::over(scope.address(slot.memory.data()), {slot.elements}, slot.dtype, shape.device());
      if (slot.dtype == torch::kUInt8) {
        values.zero_();  // packed: any bits are weights, but not of a sensible size
      } else if (slot.dtype == torch::kInt64) {
        values.random_(0, vocab);
      } else {
        values.uniform_(-kSmall, kSmall);
      }
    }
  });
}

void TrialCall::run(device::Device& device, const std::function<void(const device::ComputeScope&)>& work) {
  const auto end = device.make_event();
  device::Stream& stream = device.stream(device::StreamKind::compute);
  std::exception_ptr ended;
  stream.compute([&](const device::ComputeScope& scope) {
    try {
      work(scope);
    } catch (...) {
      ended = std::current_exception();
    }
  });
  try {
    stream.record(*end);
    end->wait();
  } catch (...) {  // what ended the computation comes first
    if (!ended) throw;
  }
  if (ended) std::rethrow_exception(ended);
}

}  // namespace gsnake::backend
