#include "runtime/toy_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>

#include "optim/formats.h"
#include "optim/norm.h"
#include "schedule/visits.h"

namespace gsnake::runtime::test {
namespace {

using schedule::Op;

// y[j % H] += scale * w[j] * x[(j + shift) % H], one j after another.
struct Mixer {
  std::size_t elements = 0;
  std::size_t hidden = 0;
  std::size_t shift = 0;
  float scale = 0.0F;

  template <typename Work>
  void each(Work work) const {
    std::size_t to = 0;
    std::size_t from = shift % hidden;
    for (std::size_t j = 0; j < elements; ++j) {
      work(j, to, from);
      if (++to == hidden) to = 0;
      if (++from == hidden) from = 0;
    }
  }
  void forward(const float* weights, const float* x, float* y) const {
    each([&](std::size_t j, std::size_t to, std::size_t from) { y[to] += scale * weights[j] * x[from]; });
  }
  void backward(const float* weights, const float* x, const float* y_gradient, float* weight_gradients, float* x_gradient) const {
    each([&](std::size_t j, std::size_t to, std::size_t from) {
      weight_gradients[j] += scale * y_gradient[to] * x[from];
      if (x_gradient != nullptr) x_gradient[from] += scale * weights[j] * y_gradient[to];
    });
  }
};

// The reference's memory, as places on the CPU device that it computes on.
device::DevicePtr place(std::vector<std::byte>& bytes) { return device::DevicePtr(bytes.data()); }
device::DevicePtr place(std::vector<float>& values) { return device::DevicePtr(reinterpret_cast<std::byte*>(values.data())); }

}  // namespace

double learning_rate(std::int64_t updates) { return 0.01 / static_cast<double>(updates + 1); }

void set_formats(schedule::Problem& problem, const optim::OptimizerSpec& spec) {
  problem.weight_bytes = optim::weight_bytes(spec.weights);
  problem.state_bytes = optim::make_optimizer(spec)->state_bytes();
  problem.master = spec.weights != optim::WeightFormat::fp32;
  problem.weights_derived = spec.weights == optim::WeightFormat::fp16;
  if (problem.master) problem.state_bytes.insert(problem.state_bytes.begin(), optim::master_bytes(spec.weights));
}

std::vector<ToyObject> initial_objects(const schedule::Problem& problem, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto value = [&] { return static_cast<float>(random() % 20001) / 10000.0F - 1.0F; };
  std::vector<ToyObject> objects;
  for (std::uint64_t elements : problem.elements) {
    const std::uint64_t padded = schedule::padded_elements(elements);
    std::vector<float> master(padded, 0.0F);
    std::generate_n(master.begin(), elements, value);
    ToyObject object;
    object.weights.resize(padded * problem.weight_bytes);
    for (std::uint64_t width : problem.state_bytes) object.states.emplace_back(padded * width);
    const std::span half(reinterpret_cast<std::uint16_t*>(object.weights.data()), problem.master ? padded : 0);
    if (!problem.master) {
      std::memcpy(object.weights.data(), master.data(), object.weights.size());
    } else if (problem.weights_derived) {
      optim::to_fp16(master, half);
      std::memcpy(object.states[0].data(), master.data(), object.states[0].size());
    } else {
      optim::split_master(master, half, {reinterpret_cast<std::int16_t*>(object.states[0].data()), padded});
    }
    for (std::size_t k = problem.master ? 1 : 0; k < object.states.size(); ++k) {
      const std::size_t width = problem.state_bytes[k];
      for (std::uint64_t i = 0; i < elements; ++i) {
        const float moment = 1e-4F * (value() + 1.0F);
        std::memcpy(object.states[k].data() + i * width, reinterpret_cast<const std::byte*>(&moment) + (sizeof(float) - width), width);
      }
    }
    objects.push_back(std::move(object));
  }
  return objects;
}

std::vector<std::vector<optim::DecayRun>> decay_runs(const schedule::Problem& problem) {
  std::vector<std::vector<optim::DecayRun>> runs;
  for (std::uint64_t elements : problem.elements) runs.push_back({{0, elements / 2, true}, {elements / 2, elements, false}});
  return runs;
}

struct ToyBackend::Pass {
  Mixer own;
  Mixer tied;
};

struct ToyBackend::Work {
  const device::ComputeScope& scope;
  const ComputeCall& call;
  StepBatch& batch;

  [[nodiscard]] float* floats(device::DevicePtr place) const { return scope.as<float>(place); }
};

ToyBackend::ToyBackend(const schedule::Problem& problem, bool blows_up)
    : problem_(problem), blows_up_(blows_up), hidden_(problem.activation_bytes / sizeof(float)), input_(hidden_), output_(hidden_), output_gradient_(hidden_) {
  std::uint64_t widest = 0;
  for (std::uint64_t elements : problem.elements) widest = std::max(widest, elements);
  own_weights_.resize(widest);
  tied_weights_.resize(problem.elements[0]);
}

const float* ToyBackend::wide(const std::byte* weights, std::uint64_t elements, std::vector<float>& scratch) const {
  if (problem_.weight_bytes == sizeof(float)) return reinterpret_cast<const float*>(weights);
  const auto format = problem_.weights_derived ? optim::WeightFormat::fp16 : optim::WeightFormat::bf16;
  optim::widen(format, {reinterpret_cast<const std::uint16_t*>(weights), elements}, {scratch.data(), elements});
  return scratch.data();
}

void ToyBackend::run(const device::ComputeScope& scope, const ComputeCall& call, StepBatch& batch) {
  const auto unit = static_cast<std::size_t>(call.unit);
  const auto micro_batch = static_cast<std::size_t>(call.micro_batch);
  // As dropout would: another factor each step, unit and micro-batch.
  const std::int64_t noise = batch.training ? (batch.step * 31 + call.unit * 7 + call.micro_batch * 3) % 17 : 0;
  const auto mixer = [&](std::uint64_t elements, std::size_t shift) {
    const float even = 0.5F * static_cast<float>(hidden_) / static_cast<float>(std::max<std::uint64_t>(elements, hidden_));
    return Mixer{elements, hidden_, shift, even * (1.0F + 0.01F * static_cast<float>(noise))};
  };
  const Pass pass{mixer(problem_.elements[unit], micro_batch + 1), mixer(problem_.elements[0], micro_batch + 5)};
  const Work work{scope, call, batch};
  if (call.gradients && call.first) std::fill_n(work.floats(call.gradients), schedule::padded_elements(problem_.elements[unit]), 0.0F);
  if (call.tied_gradients && call.tied_first) {
    std::fill_n(work.floats(call.tied_gradients), schedule::padded_elements(problem_.elements[0]), 0.0F);
  }
  if (call.op == Op::forward) {
    forward(pass, work);
  } else if (call.op == Op::backward) {
    backward(pass, work);
  } else {
    head(pass, work);
  }
}

const float* ToyBackend::unit_input(const Work& work) {
  if (work.call.unit > 0) return work.floats(work.call.input);
  const std::int64_t* ids = work.batch.inputs + static_cast<std::ptrdiff_t>(work.call.micro_batch) * kTokens;
  for (std::size_t i = 0; i < hidden_; ++i) input_[i] = 0.01F * static_cast<float>(ids[i % kTokens]) + 0.001F * static_cast<float>(i % 37);
  return input_.data();
}

const float* ToyBackend::own_weights(const Pass& pass, const Work& work) {
  return wide(work.scope.address(work.call.weights), pass.own.elements, own_weights_);
}

const float* ToyBackend::tied_weights(const Pass& pass, const Work& work) {
  return wide(work.scope.address(work.call.tied_weights), pass.tied.elements, tied_weights_);
}

void ToyBackend::forward(const Pass& pass, const Work& work) {
  const float* x = unit_input(work);
  float* y = work.floats(work.call.output);
  for (std::size_t i = 0; i < hidden_; ++i) y[i] = 0.5F * x[i];
  pass.own.forward(own_weights(pass, work), x, y);
}

void ToyBackend::backward(const Pass& pass, const Work& work) {
  const float* x = unit_input(work);
  const float* y_gradient = work.floats(work.call.output_gradient);
  float* x_gradient = work.floats(work.call.output);
  for (std::size_t i = 0; x_gradient != nullptr && i < hidden_; ++i) x_gradient[i] = 0.5F * y_gradient[i];
  pass.own.backward(own_weights(pass, work), x, y_gradient, work.floats(work.call.gradients), x_gradient);
}

void ToyBackend::head(const Pass& pass, const Work& work) {
  const ComputeCall& call = work.call;
  const StepBatch& batch = work.batch;
  const bool tied = static_cast<bool>(call.tied_weights);
  const float* x = work.floats(call.input);
  std::fill(output_.begin(), output_.end(), 0.0F);
  pass.own.forward(own_weights(pass, work), x, output_.data());
  if (tied) pass.tied.forward(tied_weights(pass, work), x, output_.data());
  const std::int64_t* labels = batch.labels + static_cast<std::ptrdiff_t>(call.micro_batch) * kTokens;
  double loss = 0.0;
  for (std::size_t i = 0; i < hidden_; ++i) {
    const float error = output_[i] - 0.1F * static_cast<float>(labels[i % kTokens]);
    output_gradient_[i] = error * batch.loss_factor;
    loss += 0.5 * static_cast<double>(error) * static_cast<double>(output_gradient_[i]);
  }
  *call.loss = loss;
  if (call.op == Op::head_forward) return;
  for (float& gradient : output_gradient_) gradient *= call.loss_scale;
  if (blows_up_ && batch.step % 4 == 2) output_gradient_[hidden_ / 2] = std::numeric_limits<float>::infinity();
  float* x_gradient = work.floats(call.output);
  std::fill_n(x_gradient, hidden_, 0.0F);
  pass.own.backward(own_weights(pass, work), x, output_gradient_.data(), work.floats(call.gradients), x_gradient);
  if (tied) pass.tied.backward(tied_weights(pass, work), x, output_gradient_.data(), work.floats(call.tied_gradients), x_gradient);
}

ToyReference::ToyReference(const schedule::Problem& problem, const optim::OptimizerSpec& spec, const Policy& policy, const StepCounters& counters,
                           std::vector<ToyObject> objects, bool blows_up)
    : problem_(problem), policy_(policy), optimizer_(optim::make_optimizer(spec, optim::Target::scalar)), counters_(counters), backend_(problem, blows_up),
      objects_(std::move(objects)) {
  for (std::uint64_t elements : problem.elements) gradients_.emplace_back(schedule::padded_elements(elements));
  if (problem.tied) tied_gradients_.resize(gradients_[0].size());
  const std::vector<float> state(problem.activation_bytes / sizeof(float));
  checkpoints_.assign(objects_.size() * static_cast<std::size_t>(problem.micro_batches), state);
  hidden_gradients_ = checkpoints_;
}

device::DevicePtr ToyReference::checkpoint(int unit, int micro_batch) {
  return unit == 0 ? device::DevicePtr() : place(checkpoints_[static_cast<std::size_t>(unit * problem_.micro_batches + micro_batch)]);
}

device::DevicePtr ToyReference::hidden_gradient(int unit, int micro_batch) {
  return unit == 0 ? device::DevicePtr() : place(hidden_gradients_[static_cast<std::size_t>(unit * problem_.micro_batches + micro_batch)]);
}

void ToyReference::compute(Op op, int unit, int micro_batch, StepBatch& batch) {
  const auto object = static_cast<std::size_t>(unit);
  const bool head = op == Op::head || op == Op::head_forward;
  const bool differentiates = op == Op::backward || op == Op::head;
  ComputeCall call;
  call.op = op;
  call.unit = unit;
  call.micro_batch = micro_batch;
  call.weights = place(objects_[object].weights);
  call.input = checkpoint(unit, micro_batch);
  if (differentiates) {
    call.first = !summed_[object];
    call.gradients = place(gradients_[object]);
    summed_[object] = true;
  }
  if (head && problem_.tied) call.tied_weights = place(objects_[0].weights);
  if (op == Op::head && problem_.tied) {
    call.tied_first = !tied_summed_;
    call.tied_gradients = place(tied_gradients_);
    tied_summed_ = true;
  }
  if (head) call.loss = &batch.losses[static_cast<std::size_t>(micro_batch)];
  call.loss_scale = static_cast<float>(counters_.loss_scale);
  if (op == Op::backward) call.output_gradient = hidden_gradient(unit + 1, micro_batch);
  if (op != Op::head_forward) call.output = differentiates ? hidden_gradient(unit, micro_batch) : checkpoint(unit + 1, micro_batch);
  device_->stream(device::StreamKind::compute).compute([&](const device::ComputeScope& scope) { backend_.run(scope, call, batch); });
}

double ToyReference::scaled_norm() const {
  std::vector<double> partials;
  for (const std::vector<float>& gradient : gradients_) {
    std::vector<double> own(gradient.size() / optim::kNormBlock);
    optim::square_sums(gradient, own, optim::Target::scalar);
    partials.insert(partials.end(), own.begin(), own.end());
  }
  return optim::total_norm(partials);
}

ToyReference::Step ToyReference::train(StepBatch& batch) {
  summed_.assign(objects_.size(), false);
  tied_summed_ = false;
  for (const schedule::Visit& visit : schedule::training_visits(problem_)) {
    const Op op = visit.pass == schedule::Pass::forward ? Op::forward : visit.pass == schedule::Pass::head ? Op::head : Op::backward;
    for (int micro_batch : visit.micro_batches) compute(op, visit.unit, micro_batch, batch);
  }
  if (problem_.tied) optim::add_in_place(gradients_[0], tied_gradients_, optim::Target::scalar);
  const double scale = counters_.loss_scale;
  Step step{scaled_norm() / scale, false, 1.0, scale};
  step.skipped = !std::isfinite(step.gradient_norm);
  if (step.skipped) {
    counters_.good_steps = 0;
    if (policy_.dynamic_scale) counters_.loss_scale /= 2.0;
    return step;
  }
  if (policy_.clip_norm > 0.0) step.factor = std::min(1.0, policy_.clip_norm / (step.gradient_norm + 1e-6));
  const optim::StepScalars scalars{learning_rate(counters_.updates), counters_.updates + 1, static_cast<float>(step.factor / scale)};
  for (std::size_t object = 0; object < objects_.size(); ++object) update(object, scalars);
  ++counters_.updates;
  if (policy_.dynamic_scale && ++counters_.good_steps == policy_.growth_interval) {
    counters_.loss_scale *= 2.0;
    counters_.good_steps = 0;
  }
  return step;
}

void ToyReference::update(std::size_t object, const optim::StepScalars& scalars) {
  const auto runs = decay_runs(problem_);
  ToyObject& stored = objects_[object];
  optim::UpdateChunk chunk;
  chunk.weight = stored.weights.data();
  const std::size_t first = problem_.master ? 1 : 0;
  if (problem_.master) chunk.master = stored.states[0].data();
  for (std::size_t k = first; k < stored.states.size(); ++k) chunk.states[k - first] = stored.states[k].data();
  chunk.gradient = gradients_[object].data();
  chunk.elements = gradients_[object].size();
  chunk.runs = runs[object];
  if (!optimizer_->update(scalars, chunk)) throw std::runtime_error("the toy's weights are not finite");
}

void ToyReference::validate(StepBatch& batch) {
  for (const schedule::Visit& visit : schedule::forward_visits(problem_)) {
    const Op op = visit.pass == schedule::Pass::forward ? Op::forward : Op::head_forward;
    for (int micro_batch : visit.micro_batches) compute(op, visit.unit, micro_batch, batch);
  }
}

}  // namespace gsnake::runtime::test
