#include "runtime/toy_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

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

float* floats(std::byte* data) { return reinterpret_cast<float*>(data); }
std::byte* bytes(std::vector<float>& values) { return reinterpret_cast<std::byte*>(values.data()); }

}  // namespace

std::vector<ToyObject> initial_objects(const schedule::Problem& problem, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto value = [&] { return static_cast<float>(random() % 20001) / 10000.0F - 1.0F; };
  std::vector<ToyObject> objects;
  for (std::uint64_t elements : problem.elements) {
    const std::vector<float> zeros(schedule::padded_elements(elements), 0.0F);
    ToyObject object{zeros, zeros, zeros};
    for (std::uint64_t i = 0; i < elements; ++i) {
      object.weights[i] = value();
      object.moment1[i] = 0.01F * value();
      object.moment2[i] = 1e-4F * (value() + 1.0F);
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

ToyBackend::ToyBackend(const schedule::Problem& problem)
    : problem_(problem), hidden_(problem.activation_bytes / sizeof(float)), input_(hidden_), output_(hidden_), output_gradient_(hidden_) {}

void ToyBackend::run(const ComputeCall& call, StepBatch& batch) {
  const auto unit = static_cast<std::size_t>(call.unit);
  const auto micro_batch = static_cast<std::size_t>(call.micro_batch);
  // As dropout would: another factor each step, unit and micro-batch.
  const std::int64_t noise = batch.training ? (batch.step * 31 + call.unit * 7 + call.micro_batch * 3) % 17 : 0;
  const auto mixer = [&](std::uint64_t elements, std::size_t shift) {
    const float even = 0.5F * static_cast<float>(hidden_) / static_cast<float>(std::max<std::uint64_t>(elements, hidden_));
    return Mixer{elements, hidden_, shift, even * (1.0F + 0.01F * static_cast<float>(noise))};
  };
  const Pass pass{mixer(problem_.elements[unit], micro_batch + 1), mixer(problem_.elements[0], micro_batch + 5)};
  if (call.gradients != nullptr && call.first) std::fill_n(floats(call.gradients), schedule::padded_elements(problem_.elements[unit]), 0.0F);
  if (call.tied_gradients != nullptr && call.tied_first) {
    std::fill_n(floats(call.tied_gradients), schedule::padded_elements(problem_.elements[0]), 0.0F);
  }
  if (call.op == Op::forward) {
    forward(pass, call, batch);
  } else if (call.op == Op::backward) {
    backward(pass, call, batch);
  } else {
    head(pass, call, batch);
  }
}

const float* ToyBackend::embedding_input(const ComputeCall& call, const StepBatch& batch) {
  const std::int64_t* ids = batch.inputs + static_cast<std::ptrdiff_t>(call.micro_batch) * kTokens;
  for (std::size_t i = 0; i < hidden_; ++i) input_[i] = 0.01F * static_cast<float>(ids[i % kTokens]) + 0.001F * static_cast<float>(i % 37);
  return input_.data();
}

void ToyBackend::forward(const Pass& pass, const ComputeCall& call, const StepBatch& batch) {
  const float* x = call.unit == 0 ? embedding_input(call, batch) : floats(call.input);
  float* y = floats(call.output);
  for (std::size_t i = 0; i < hidden_; ++i) y[i] = 0.5F * x[i];
  pass.own.forward(floats(call.weights), x, y);
}

void ToyBackend::backward(const Pass& pass, const ComputeCall& call, const StepBatch& batch) {
  const float* x = call.unit == 0 ? embedding_input(call, batch) : floats(call.input);
  const float* y_gradient = floats(call.output_gradient);
  float* x_gradient = call.unit == 0 ? nullptr : floats(call.output);
  for (std::size_t i = 0; x_gradient != nullptr && i < hidden_; ++i) x_gradient[i] = 0.5F * y_gradient[i];
  pass.own.backward(floats(call.weights), x, y_gradient, floats(call.gradients), x_gradient);
}

void ToyBackend::head(const Pass& pass, const ComputeCall& call, StepBatch& batch) {
  const float* x = floats(call.input);
  std::fill(output_.begin(), output_.end(), 0.0F);
  pass.own.forward(floats(call.weights), x, output_.data());
  if (call.tied_weights != nullptr) pass.tied.forward(floats(call.tied_weights), x, output_.data());
  const std::int64_t* labels = batch.labels + static_cast<std::ptrdiff_t>(call.micro_batch) * kTokens;
  double loss = 0.0;
  for (std::size_t i = 0; i < hidden_; ++i) {
    const float error = output_[i] - 0.1F * static_cast<float>(labels[i % kTokens]);
    output_gradient_[i] = error * batch.loss_factor;
    loss += 0.5 * static_cast<double>(error) * static_cast<double>(output_gradient_[i]);
  }
  batch.losses[static_cast<std::size_t>(call.micro_batch)] = loss;
  if (call.op == Op::head_forward) return;
  float* x_gradient = floats(call.output);
  std::fill_n(x_gradient, hidden_, 0.0F);
  pass.own.backward(floats(call.weights), x, output_gradient_.data(), floats(call.gradients), x_gradient);
  if (call.tied_weights != nullptr) {
    pass.tied.backward(floats(call.tied_weights), x, output_gradient_.data(), floats(call.tied_gradients), x_gradient);
  }
}

ToyReference::ToyReference(const schedule::Problem& problem, std::vector<ToyObject> objects)
    : problem_(problem), backend_(problem), objects_(std::move(objects)) {
  for (const ToyObject& object : objects_) gradients_.emplace_back(object.weights.size());
  if (problem.tied) tied_gradients_.resize(objects_[0].weights.size());
  const std::vector<float> state(problem.activation_bytes / sizeof(float));
  checkpoints_.assign(objects_.size() * static_cast<std::size_t>(problem.micro_batches), state);
  hidden_gradients_ = checkpoints_;
}

std::byte* ToyReference::checkpoint(int unit, int micro_batch) {
  return unit == 0 ? nullptr : bytes(checkpoints_[static_cast<std::size_t>(unit * problem_.micro_batches + micro_batch)]);
}

std::byte* ToyReference::hidden_gradient(int unit, int micro_batch) {
  return unit == 0 ? nullptr : bytes(hidden_gradients_[static_cast<std::size_t>(unit * problem_.micro_batches + micro_batch)]);
}

void ToyReference::compute(Op op, int unit, int micro_batch, StepBatch& batch) {
  const auto object = static_cast<std::size_t>(unit);
  const bool head = op == Op::head || op == Op::head_forward;
  const bool differentiates = op == Op::backward || op == Op::head;
  ComputeCall call;
  call.op = op;
  call.unit = unit;
  call.micro_batch = micro_batch;
  call.weights = bytes(objects_[object].weights);
  call.input = checkpoint(unit, micro_batch);
  if (differentiates) {
    call.first = !summed_[object];
    call.gradients = bytes(gradients_[object]);
    summed_[object] = true;
  }
  if (head && problem_.tied) call.tied_weights = bytes(objects_[0].weights);
  if (op == Op::head && problem_.tied) {
    call.tied_first = !tied_summed_;
    call.tied_gradients = bytes(tied_gradients_);
    tied_summed_ = true;
  }
  if (op == Op::backward) call.output_gradient = hidden_gradient(unit + 1, micro_batch);
  if (op != Op::head_forward) call.output = differentiates ? hidden_gradient(unit, micro_batch) : checkpoint(unit + 1, micro_batch);
  backend_.run(call, batch);
}

double ToyReference::train(StepBatch& batch, const optim::StepScalars& scalars) {
  summed_.assign(objects_.size(), false);
  tied_summed_ = false;
  for (const schedule::Visit& visit : schedule::training_visits(problem_)) {
    const Op op = visit.pass == schedule::Pass::forward ? Op::forward : visit.pass == schedule::Pass::head ? Op::head : Op::backward;
    for (int micro_batch : visit.micro_batches) compute(op, visit.unit, micro_batch, batch);
  }
  if (problem_.tied) optim::add_in_place(gradients_[0], tied_gradients_, optim::Target::scalar);
  std::vector<double> partials;
  for (std::size_t object = 0; object < objects_.size(); ++object) {
    std::vector<double> own(gradients_[object].size() / optim::kNormBlock);
    optim::square_sums(gradients_[object], own, optim::Target::scalar);
    partials.insert(partials.end(), own.begin(), own.end());
    update(object, scalars);
  }
  return optim::total_norm(partials);
}

void ToyReference::update(std::size_t object, const optim::StepScalars& scalars) {
  const auto runs = decay_runs(problem_);
  ToyObject& state = objects_[object];
  optim::UpdateChunk chunk;
  chunk.weight = reinterpret_cast<std::byte*>(state.weights.data());
  chunk.states = {reinterpret_cast<std::byte*>(state.moment1.data()), reinterpret_cast<std::byte*>(state.moment2.data())};
  chunk.gradient = gradients_[object].data();
  chunk.elements = state.weights.size();
  chunk.runs = runs[object];
  ASSERT_TRUE(toy_optimizer(optim::Target::scalar)->update(scalars, chunk));
}

void ToyReference::validate(StepBatch& batch) {
  for (const schedule::Visit& visit : schedule::forward_visits(problem_)) {
    const Op op = visit.pass == schedule::Pass::forward ? Op::forward : Op::head_forward;
    for (int micro_batch : visit.micro_batches) compute(op, visit.unit, micro_batch, batch);
  }
}

}  // namespace gsnake::runtime::test
