#include "torch/backend.h"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include "core/bytes.h"
#include "model/preference.h"
#include "model/seeding.h"
#include "model/unit_context.h"
#include "model/unit_ops.h"
#include "plan/problem.h"
#include "schedule/problem.h"
#include "torch/gpu_errors.h"
#include "torch/gpu_settings.h"
#include "torch/trial_call.h"

namespace gsnake::backend {

using schedule::Op;

TorchBackend::TorchBackend(Model& model, const plan::ModelLayout& layout, const ComputeShape& shape)
    : model_(model), layout_(layout), shape_(shape), device_(shape.device()), widened_(layout, shape.weights(), shape.compute), packed_(model, layout, shape.compute, shape.most_dequantised, shape.accelerator) {
  for (const UnitKind& kind : model.kinds) parameters_.emplace_back(*kind.module);
  const int head = static_cast<int>(model.units.size()) - 1;
  // Whatever the head's own copy says.
  if (layout.tied) parameters_of(head).set_trained(layout.tied_head_index, layout.is_trained(static_cast<std::size_t>(layout.tied_object)));
}

TorchBackend::~TorchBackend() {
  kept_.clear();
  for (model::ParameterSet& parameters : parameters_) parameters.unbind();
}

TorchBackend::Views& TorchBackend::views(int object, std::byte* base, at::ScalarType dtype) {
  const auto o = static_cast<std::size_t>(object);
  const std::tuple key(layout_.units[layout_.unit_of(o)], o >= layout_.units.size(), base, dtype);
  const auto found = views_.find(key);
  if (found != views_.end()) return found->second;
  const optim::FlatLayout& flat = layout_.flat(o);
  Views made{model::views(base, flat, dtype, device_),
             model::over(base, {static_cast<std::int64_t>(schedule::padded_elements(flat.elements))}, dtype, device_)};
  return views_.emplace(key, std::move(made)).first->second;
}

torch::Tensor& TorchBackend::tied_view(std::byte* base, at::ScalarType dtype) {
  const std::pair key(base, dtype);
  const auto found = tied_views_.find(key);
  if (found != tied_views_.end()) return found->second;
  std::byte* first = base + layout_.tied_offset * c10::elementSize(dtype);
  return tied_views_.emplace(key, model::over(first, layout_.tied_sizes, dtype, device_)).first->second;
}

// Where an object's weights are in the compute dtype.
std::byte* TorchBackend::computable(int object, std::byte* weights, bool opens) {
  return widened_.active() ? widened_.widen(object, weights, opens) : weights;
}

torch::Tensor TorchBackend::hidden(std::byte* data) const {
  return model::over(data, {shape_.passes * shape_.rows, shape_.tokens, model_.hidden}, shape_.storage, device_);
}

struct TorchBackend::Work {
  const device::ComputeScope& scope;
  const runtime::ComputeCall& call;
  const ComputeShape& shape;

  [[nodiscard]] torch::Tensor ids() const { return model::over(at(call.ids), {shape.rows, shape.tokens}, torch::kInt64, shape.device()); }
  [[nodiscard]] std::byte* at(device::DevicePtr place) const { return scope.address(place); }
};

void TorchBackend::bind(const Work& work) {
  const bool has_shared = layout_.tied && static_cast<std::size_t>(work.call.unit) + 1 == layout_.units.size();
  const std::size_t own = work.call.uses.size() - (has_shared ? 1 : 0);
  for (std::size_t i = 0; i < own; ++i) bind_own(work, work.call.uses[i]);
  if (has_shared) bind_tied(work, work.call.uses.back());
}

void TorchBackend::bind_own(const Work& work, const runtime::UsedObject& own) {
  const runtime::ComputeCall& call = work.call;
  model::ParameterSet& parameters = parameters_of(call.unit);
  if (layout_.is_packed(static_cast<std::size_t>(own.object))) return packed_.bind(call.unit, own.object, work.at(own.weights), call.opens, parameters);
  const Views& weights = views(own.object, computable(own.object, work.at(own.weights), call.opens), shape_.compute);
  Views* gradients = own.gradients ? &views(own.object, work.at(own.gradients), torch::kFloat32) : nullptr;
  if (gradients != nullptr && own.first) gradients->flat.zero_();
  const optim::FlatLayout& flat = layout_.flat(static_cast<std::size_t>(own.object));
  for (std::size_t i = 0; i < flat.parameters.size(); ++i) {
    parameters.bind(flat.parameters[i].index, weights.parameters[i]);
    parameters.set_gradient(flat.parameters[i].index, gradients == nullptr ? torch::Tensor() : gradients->parameters[i]);
  }
}

void TorchBackend::bind_tied(const Work& work, const runtime::UsedObject& shared) {
  if (layout_.is_packed(static_cast<std::size_t>(shared.object))) return packed_.bind_tied(work.at(shared.weights));
  model::ParameterSet& parameters = parameters_of(work.call.unit);
  parameters.bind(layout_.tied_head_index, tied_view(computable(shared.object, work.at(shared.weights), work.call.opens), shape_.compute));
  if (!shared.gradients) {
    parameters.set_gradient(layout_.tied_head_index, torch::Tensor());
    return;
  }
  std::byte* gradients = work.at(shared.gradients);
  if (shared.first) views(shared.object, gradients, torch::kFloat32).flat.zero_();
  parameters.set_gradient(layout_.tied_head_index, tied_view(gradients, torch::kFloat32));
}

namespace {

class ContextScope {
 public:
  ContextScope(std::span<const std::vector<std::int32_t>> starts, TokenCache* cache) { model::unit_context() = {true, starts, cache}; }
  ~ContextScope() { model::unit_context() = {}; }
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;
};

}  // namespace

void TorchBackend::run(const device::ComputeScope& scope, const runtime::ComputeCall& call) {
  if (shape_.accelerator == nullptr) return compute(scope, call);
  try {
    compute(scope, call);
  } catch (const c10::Error&) {
    rethrow_of_gpu(device_.str());
  }
}

void TorchBackend::compute(const device::ComputeScope& scope, const runtime::ComputeCall& call) {
  const MeteredScope metered(meter_);
  const GpuSettings settings(shape_.accelerator != nullptr, shape_.deterministic);
  const Work work{scope, call, shape_};
  bind(work);
  const ContextScope context(rehearsed_starts_.empty() ? call.starts : std::span<const std::vector<std::int32_t>>(rehearsed_starts_), cache_);
  module_of(call.unit).train(call.training);
  std::optional<model::RandomScope> random;
  if (call.training) {
    random.emplace(device_);
    model::seed_unit(shape_.seed, static_cast<std::uint64_t>(call.step), static_cast<std::uint64_t>(call.unit),
                     static_cast<std::uint64_t>(call.micro_batch), device_);
  }
  if (call.op == Op::forward) {
    forward(work);
  } else if (call.op == Op::backward) {
    backward(work);
  } else {
    head(work);
  }
  if (!call.kept) return;
  meter_.kept_bytes = kept_.empty() ? 0 : meter_.in_use_bytes;
}

void TorchBackend::forward(const Work& work) {
  const runtime::ComputeCall& call = work.call;
  const torch::Tensor output = hidden(work.at(call.output));
  const torch::Tensor input = call.unit == 0 ? work.ids() : hidden(work.at(call.input));
  torch::nn::Module& module = module_of(call.unit);
  torch::Tensor own = own_rows(output);
  if (call.kept) {
    kept_.push_back({call.unit, call.micro_batch, model::forward_and_keep(dynamic_cast<Unit&>(module), own_rows(input), own, shape_.compute)});
  } else {
    model::forward(module, call.unit == 0 ? input : own_rows(input), own, shape_.compute);
  }
  if (shape_.passes == 1) return;
  // The reference: what the model is without its adapters, and without dropout.
  model::unit_context().adapters = false;
  module.eval();
  torch::Tensor reference = output.narrow(0, shape_.rows, shape_.rows);
  model::forward(module, call.unit == 0 ? input : input.narrow(0, shape_.rows, shape_.rows), reference, shape_.compute);
}

model::Activations TorchBackend::take_kept(int unit, int micro_batch) {
  const auto pass = std::find_if(kept_.begin(), kept_.end(), [&](const KeptPass& kept) { return kept.unit == unit && kept.micro_batch == micro_batch; });
  if (pass == kept_.end()) throw std::logic_error("backward finds no activations of its forward pass");
  model::Activations activations = std::move(pass->activations);
  kept_.erase(pass);
  return activations;
}

void TorchBackend::backward(const Work& work) {
  const runtime::ComputeCall& call = work.call;
  const torch::Tensor gradient = hidden(work.at(call.output_gradient));
  torch::Tensor input_gradient = call.output ? hidden(work.at(call.output)) : torch::Tensor();
  if (call.output && shape_.passes > 1) input_gradient.narrow(0, shape_.rows, shape_.rows).zero_();
  torch::Tensor own = call.output ? own_rows(input_gradient) : torch::Tensor();
  if (call.kept) return model::backward(take_kept(call.unit, call.micro_batch), own_rows(gradient), call.output ? &own : nullptr, shape_.compute);
  const torch::Tensor input = call.unit == 0 ? work.ids() : hidden(work.at(call.input));
  model::backward(module_of(call.unit), call.unit == 0 ? input : own_rows(input), own_rows(gradient), call.output ? &own : nullptr, shape_.compute);
}

void TorchBackend::head(const Work& work) {
  const runtime::ComputeCall& call = work.call;
  auto& head = dynamic_cast<HeadUnit&>(module_of(call.unit));
  const torch::Tensor input = hidden(work.at(call.input));
  if (head_sink_) {
    head_sink_(head, input.to(shape_.compute));
    return;
  }
  const model::HeadPass pass{call.loss_factor, shape_.head_chunk, call.loss_scale, shape_.compute};
  const torch::Tensor labels = work.ids();
  if (shape_.passes > 1) {
    torch::Tensor results = model::over(work.at(call.loss), {plan::head_results(shape_.passes)}, torch::kFloat64, device_);
    const model::Preference preference{shape_.dpo_beta, pass};
    if (call.op == Op::head_forward) return model::preference_loss(head, input, labels, preference, results);
    torch::Tensor gradient = call.output ? hidden(work.at(call.output)) : torch::Tensor();
    return model::preference_forward_backward(head, input, labels, preference, call.output ? &gradient : nullptr, results);
  }
  torch::Tensor loss = model::over(work.at(call.loss), {}, torch::kFloat64, device_);
  if (call.op == Op::head_forward) return model::head_loss(head, input, labels, pass, loss);
  torch::Tensor input_gradient = call.output ? hidden(work.at(call.output)) : torch::Tensor();
  model::head_forward_backward(head, input, labels, pass, call.output ? &input_gradient : nullptr, loss);
}

// One unit forward and, in training, backward, on memory that the meter does not count.
void TorchBackend::run_trial(device::Device& device, const TrialCall& trial) {
  TrialCall::run(device, [&](const device::ComputeScope& scope) {
    compute(scope, trial.forward());
    if (trial.has_backward()) compute(scope, trial.backward());
  });
}

// With nothing said of where documents begin in a row and, where rows hold several, with as much as these may need: of short ones, and of one.
void TorchBackend::for_documents(const std::function<void()>& work) {
  rehearsed_starts_.clear();
  work();
  if (!shape_.packed) return;
  constexpr std::int32_t kShort = 4;
  for (const std::int32_t length : {kShort, static_cast<std::int32_t>(shape_.tokens)}) {
    std::vector<std::int32_t> starts;
    for (std::int32_t start = 0; start < shape_.tokens; start += length) starts.push_back(start);
    rehearsed_starts_.assign(static_cast<std::size_t>(shape_.rows), starts);
    work();
  }
  rehearsed_starts_.clear();
}

// In a room of the dry run's size: bytes, or nothing where there is too little.
template <typename Measure>
std::optional<std::uint64_t> TorchBackend::rehearsed(const DryRun& dry, int unit, const Measure& measure) {
  const ComputeShape own = shape_;
  shape_.rows = dry.rows;
  shape_.tokens = dry.tokens;
  shape_.head_chunk = dry.head_chunk;
  RehearsedRoom room(dry.most_bytes);
  begin_rehearsal(dry, room);
  std::optional<std::uint64_t> bytes;
  try {
    bytes = measure(room);
  } catch (const CapExceeded&) {  // the answer is that there is none
  } catch (const c10::OutOfMemoryError&) {
  } catch (...) {
    end_rehearsal(own, unit);
    if (shape_.accelerator != nullptr) rethrow_of_gpu(device_.str());
    throw;
  }
  end_rehearsal(own, unit);
  gives_back_ = !bytes;
  return bytes;
}

std::optional<std::uint64_t> TorchBackend::rehearse(device::Device& device, const DryRun& dry, int unit) {
  return rehearsed(dry, unit, [&](const RehearsedRoom& room) {
    if (dry.training && unit + 1 == static_cast<int>(model_.units.size())) {
      // What the head needs does not depend on how many chunks there are: two, and what is left over, stand for all.
      const std::int64_t tokens = dry.rows * dry.tokens;
      shape_.rows = shape_.passes;
      shape_.tokens = std::min(tokens, 2 * dry.head_chunk + tokens % dry.head_chunk);
    }
    const TrialCall zeros(device, layout_, shape_, unit, dry.training);
    for_documents([&] { run_trial(device, zeros); });
    return shape_.accelerator != nullptr ? shape_.accelerator->peak_bytes() : room.extent();
  });
}

void TorchBackend::keep_on_zeros(device::Device& device, int unit, int passes, const std::function<void()>& after_each) {
  const TrialCall zeros(device, layout_, shape_, unit, true);
  runtime::ComputeCall call = zeros.forward();
  call.kept = true;
  for (call.micro_batch = 0; call.micro_batch < passes; ++call.micro_batch) {
    TrialCall::run(device, [&](const device::ComputeScope& scope) { compute(scope, call); });
    after_each();
  }
}

void TorchBackend::drop_kept() {
  const MeteredScope metered(meter_);
  kept_.clear();
  meter_.kept_bytes = 0;
}

// What a pass leaves, or by how much those behind the first raise the end of the highest block: gaps between what is kept are part of it. Of a GPU, its part of all that
// LibTorch's allocator has taken from the device for them.
std::uint64_t TorchBackend::kept_by_passes(device::Device& device, int unit, const DryRun& dry) {
  const auto passes = static_cast<std::uint64_t>(dry.kept);
  if (shape_.accelerator != nullptr) {
    keep_on_zeros(device, unit, dry.kept, [] {});
    drop_kept();
    return core::ceil_div(shape_.accelerator->peak_bytes(), passes);
  }
  RehearsedRoom room(dry.most_bytes);
  meter_.rehearsed = &room;
  std::uint64_t end = 0;
  std::uint64_t most = 0;
  keep_on_zeros(device, unit, dry.kept, [&] {
    if (end > 0) most = std::max(most, room.extent() - end);
    end = room.extent();
  });
  most = std::max(most, core::ceil_div(static_cast<std::uint64_t>(meter_.in_use_bytes), passes));
  drop_kept();
  return most;
}

std::optional<std::uint64_t> TorchBackend::rehearse_kept(device::Device& device, const DryRun& dry, int unit) {
  gives_back_ = true;  // so that what a GPU's allocator takes is for what is kept
  return rehearsed(dry, unit, [&](const RehearsedRoom&) {
    std::uint64_t most = 0;
    for_documents([&] { most = std::max(most, kept_by_passes(device, unit, dry)); });
    return most;
  });
}

void TorchBackend::warm_up(device::Device& device, std::span<const int> kept_by_unit) {
  if (shape_.accelerator == nullptr) return;
  try {
    for_documents([&] {
      for (std::size_t unit = 0; unit < kept_by_unit.size(); ++unit) {
        if (kept_by_unit[unit] == 0) continue;
        keep_on_zeros(device, static_cast<int>(unit), kept_by_unit[unit], [] {});
        forget_slots(static_cast<int>(unit));
      }
      for (const int unit : layout_.one_of_each_shape()) {  // what the steps need beside all that
        run_trial(device, TrialCall(device, layout_, shape_, unit, true));
        forget_slots(unit);
      }
      drop_kept();
    });
  } catch (const c10::OutOfMemoryError& error) {
    kept_.clear();
    throw Error(ErrorKind::budget, std::string("device memory: activations that are kept leave more gaps than their dry run told; lower placement.kept.device, or raise memory.device_budget (") + error.what_without_backtrace() + ")");
  } catch (const c10::Error&) {
    kept_.clear();
    rethrow_of_gpu(device_.str());
  }
}

// LibTorch's allocator on a GPU keeps what the units before have used: the peak is that of all of them so far, and no step asks CUDA for memory.
void TorchBackend::begin_rehearsal(const DryRun& dry, RehearsedRoom& room) {
  meter_ = {};
  meter_.told = &dry.told;
  if (shape_.accelerator == nullptr) {
    meter_.rehearsed = &room;
    return;
  }
  if (gives_back_) shape_.accelerator->give_back();  // not at once: autograd's thread may still hold what did not fit
  shape_.accelerator->cap(dry.most_bytes);
  if (dry.told) dry.told();
}

void TorchBackend::end_rehearsal(const ComputeShape& own, int unit) {
  shape_ = own;
  kept_.clear();
  rehearsed_starts_.clear();
  forget_slots(unit);
  meter_ = {};
  arena_.reset();
}

void TorchBackend::forget_slots(int unit) {
  parameters_of(unit).unbind();
  views_.clear();
  tied_views_.clear();
  widened_.forget();
  packed_.forget();
}

void TorchBackend::cap_temporaries(std::uint64_t bytes) {
  if (shape_.accelerator != nullptr) return shape_.accelerator->cap(bytes);
  meter_ = {};
  arena_ = memory::BlockArena::open(bytes);
  meter_.arena = arena_.get();
  meter_.cap_bytes = static_cast<std::int64_t>(bytes);
}

}  // namespace gsnake::backend
