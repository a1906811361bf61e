#include "runtime/toy_model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "optim/norm.h"
#include "schedule/visits.h"

namespace gsnake::runtime::test {
namespace {

using schedule::Op;

// The reference's memory, as places on the CPU device that it computes on.
device::DevicePtr place(std::vector<std::byte>& bytes) { return device::DevicePtr(bytes.data()); }
template <typename T>
device::DevicePtr place(T* values) {
  return device::DevicePtr(reinterpret_cast<std::byte*>(values));
}
device::DevicePtr place(std::vector<float>& values) { return place(values.data()); }

}  // namespace

double learning_rate(std::int64_t updates) { return 0.01 / static_cast<double>(updates + 1); }

// y[j % H] += scale * w[j] * x[(j + shift) % H], one j after another.
struct ToyBackend::Mixer {
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
      if (weight_gradients != nullptr) weight_gradients[j] += scale * y_gradient[to] * x[from];
      if (x_gradient != nullptr) x_gradient[from] += scale * weights[j] * y_gradient[to];
    });
  }
};

struct ToyBackend::Work {
  const device::ComputeScope& scope;
  const ComputeCall& call;

  [[nodiscard]] float* floats(device::DevicePtr place) const { return scope.as<float>(place); }
};

ToyBackend::ToyBackend(const schedule::Problem& problem, bool blows_up)
    : problem_(problem), blows_up_(blows_up), hidden_(problem.activation_bytes / sizeof(float)), input_(hidden_), output_(hidden_), output_gradient_(hidden_) {
  std::uint64_t widest = 0;
  for (const schedule::Object& object : problem.objects) widest = std::max(widest, object.elements);
  wide_.resize(widest);
  if (problem.kept > 0.0) kept_.assign(problem.units.size() * static_cast<std::size_t>(problem.ranks * problem.micro_batches), input_);
}

ToyBackend::Mixer ToyBackend::mixer_of(const Work& work, std::size_t use) const {
  const ComputeCall& call = work.call;
  const std::uint64_t elements = problem_.object(call.uses[use].object).elements;
  // As dropout would: another factor each step, unit and micro-batch.
  const std::int64_t noise = call.training ? (call.step * 31 + call.unit * 7 + call.micro_batch * 3) % 17 : 0;
  const float even = 0.5F * static_cast<float>(hidden_) / static_cast<float>(std::max<std::uint64_t>(elements, hidden_));
  return {elements, hidden_, static_cast<std::size_t>(call.micro_batch) + 1 + 4 * use, even * (1.0F + 0.01F * static_cast<float>(noise))};
}

const float* ToyBackend::widened(const Work& work, const UsedObject& used) {
  widen(problem_.object(used.object), work.scope.address(used.weights), wide_.data());
  return wide_.data();
}

void ToyBackend::mix_forward(const Work& work, const float* x, float* y) {
  for (std::size_t i = 0; i < work.call.uses.size(); ++i) mixer_of(work, i).forward(widened(work, work.call.uses[i]), x, y);
}

void ToyBackend::mix_backward(const Work& work, const float* x, const float* y_gradient, float* x_gradient) {
  for (std::size_t i = 0; i < work.call.uses.size(); ++i) {
    const UsedObject& used = work.call.uses[i];
    mixer_of(work, i).backward(widened(work, used), x, y_gradient, work.floats(used.gradients), x_gradient);
  }
}

void ToyBackend::run(const device::ComputeScope& scope, const ComputeCall& call) {
  const Work work{scope, call};
  for (const UsedObject& used : call.uses) {
    if (used.gradients && used.first) std::fill_n(work.floats(used.gradients), problem_.object(used.object).cells(), 0.0F);
  }
  if (call.op == Op::forward) {
    forward(work);
  } else if (call.op == Op::backward) {
    backward(work);
  } else {
    head(work);
  }
}

const float* ToyBackend::unit_input(const Work& work) {
  if (work.call.unit > 0) return work.floats(work.call.input);
  const auto* ids = work.scope.as<std::int64_t>(work.call.ids);
  for (std::size_t i = 0; i < hidden_; ++i) input_[i] = 0.01F * static_cast<float>(ids[i % kTokens]) + 0.001F * static_cast<float>(i % 37);
  return input_.data();
}

void ToyBackend::forward(const Work& work) {
  const float* x = unit_input(work);
  if (work.call.kept) std::copy_n(x, hidden_, kept(work).begin());
  float* y = work.floats(work.call.output);
  for (std::size_t i = 0; i < hidden_; ++i) y[i] = 0.5F * x[i];
  mix_forward(work, x, y);
}

void ToyBackend::backward(const Work& work) {
  const float* x = work.call.kept ? kept(work).data() : unit_input(work);
  const float* y_gradient = work.floats(work.call.output_gradient);
  float* x_gradient = work.floats(work.call.output);
  for (std::size_t i = 0; x_gradient != nullptr && i < hidden_; ++i) x_gradient[i] = 0.5F * y_gradient[i];
  mix_backward(work, x, y_gradient, x_gradient);
  if (work.call.kept) std::fill_n(kept(work).begin(), hidden_, std::numeric_limits<float>::quiet_NaN());  // used up
}

std::vector<float>& ToyBackend::kept(const Work& work) {
  return kept_[static_cast<std::size_t>(work.call.unit * problem_.ranks * problem_.micro_batches + work.call.micro_batch)];
}

void ToyBackend::head(const Work& work) {
  const ComputeCall& call = work.call;
  const float* x = work.floats(call.input);
  std::fill(output_.begin(), output_.end(), 0.0F);
  mix_forward(work, x, output_.data());
  const auto* labels = work.scope.as<std::int64_t>(call.ids);
  double loss = 0.0;
  for (std::size_t i = 0; i < hidden_; ++i) {
    const float error = output_[i] - 0.1F * static_cast<float>(labels[i % kTokens]);
    output_gradient_[i] = error * call.loss_factor;
    loss += 0.5 * static_cast<double>(error) * static_cast<double>(output_gradient_[i]);
  }
  *work.scope.as<double>(call.loss) = loss;
  if (call.op == Op::head_forward) return;
  for (float& gradient : output_gradient_) gradient *= call.loss_scale;
  if (blows_up_ && call.step % 4 == 2) output_gradient_[hidden_ / 2] = std::numeric_limits<float>::infinity();
  float* x_gradient = work.floats(call.output);
  if (x_gradient != nullptr) std::fill_n(x_gradient, hidden_, 0.0F);
  mix_backward(work, x, output_gradient_.data(), x_gradient);
}

ToyReference::ToyReference(const schedule::Problem& problem, const optim::OptimizerSpec& spec, const Policy& policy, const StepCounters& counters,
                           std::vector<ToyObject> objects, bool blows_up)
    : problem_(problem), policy_(policy), optimizers_(problem, spec, optim::Target::scalar), counters_(counters), backend_(problem, blows_up),
      objects_(std::move(objects)), users_(users_of(problem)) {
  for (std::size_t object = 0; object < objects_.size(); ++object) {
    const std::vector<float> zeros(problem.objects[object].trained ? problem.objects[object].cells() : 0);
    gradients_.emplace_back(users_[object].size(), zeros);
    of_visit_.push_back(shares() ? zeros : std::vector<float>());
    of_rank_.push_back(of_visit_.back());
  }
  gathers_.assign(objects_.size(), false);
  const std::vector<float> state(problem.activation_bytes / sizeof(float));
  checkpoints_.assign(problem.units.size() * static_cast<std::size_t>(problem.ranks * problem.micro_batches), state);
  hidden_gradients_ = checkpoints_;
}

device::DevicePtr ToyReference::checkpoint(int unit, int micro_batch) {
  return unit == 0 ? device::DevicePtr() : place(checkpoints_[place_of(unit, micro_batch)]);
}

device::DevicePtr ToyReference::hidden_gradient(int unit, int micro_batch) {
  return unit == 0 ? device::DevicePtr() : place(hidden_gradients_[place_of(unit, micro_batch)]);
}

std::vector<UsedObject> ToyReference::uses(int unit, bool differentiates) {
  std::vector<UsedObject> uses;
  for (int index : problem_.uses(unit)) {
    const auto object = static_cast<std::size_t>(index);
    UsedObject& used = uses.emplace_back(UsedObject{index, place(objects_[object].weights)});
    if (!differentiates || !problem_.objects[object].trained) continue;
    if (shares()) {
      used.gradients = place(of_rank_[object]);
      used.first = !gathers_[object];
      gathers_[object] = true;
      continue;
    }
    const std::size_t user = user_of(object, unit);
    used.gradients = place(gradients_[object][user]);
    used.first = !summed_[object][user];
    summed_[object][user] = true;
  }
  return uses;
}

std::size_t ToyReference::user_of(std::size_t object, int unit) const {
  return static_cast<std::size_t>(std::find(users_[object].begin(), users_[object].end(), unit) - users_[object].begin());
}

void ToyReference::visit(const schedule::Visit& visit, StepBatch& batch) {
  const Op op = visit.pass == schedule::Pass::forward ? Op::forward : visit.pass == schedule::Pass::head ? Op::head : Op::backward;
  for (int rank = 0; rank < problem_.ranks; ++rank) {
    std::fill(gathers_.begin(), gathers_.end(), false);
    for (int micro_batch : visit.micro_batches) compute(op, visit.unit, rank * problem_.micro_batches + micro_batch, batch);
    for (std::size_t object = 0; object < objects_.size(); ++object) {
      if (!gathers_[object]) continue;
      if (rank == 0) {
        of_visit_[object] = of_rank_[object];
      } else {
        optim::add_in_place(of_visit_[object], of_rank_[object], optim::Target::scalar);
      }
    }
  }
  for (std::size_t object = 0; object < objects_.size(); ++object) {
    if (!gathers_[object]) continue;
    const std::size_t user = user_of(object, visit.unit);
    if (summed_[object][user]) {
      optim::add_in_place(gradients_[object][user], of_visit_[object], optim::Target::scalar);
    } else {
      gradients_[object][user] = of_visit_[object];
    }
    summed_[object][user] = true;
  }
}

void ToyReference::compute(Op op, int unit, int micro_batch, StepBatch& batch) {
  const bool head = op == Op::head || op == Op::head_forward;
  const bool differentiates = op == Op::backward || op == Op::head;
  ComputeCall call;
  call.op = op;
  call.unit = unit;
  call.micro_batch = micro_batch;
  const std::vector<UsedObject> used = uses(unit, differentiates);
  call.uses = used;
  call.input = checkpoint(unit, micro_batch);
  call.step = batch.step;
  call.training = batch.training;
  call.loss_factor = batch.loss_factor;
  std::copy_n((head ? batch.labels : batch.inputs).data() + static_cast<std::ptrdiff_t>(micro_batch) * kTokens, kTokens, ids_.data());
  if (head || unit == 0) call.ids = place(ids_.data());
  if (head) call.loss = place(&batch.losses[static_cast<std::size_t>(micro_batch)]);
  call.loss_scale = static_cast<float>(counters_.loss_scale);
  if (op == Op::backward) call.output_gradient = hidden_gradient(unit + 1, micro_batch);
  if (op != Op::head_forward) call.output = differentiates ? hidden_gradient(unit, micro_batch) : checkpoint(unit + 1, micro_batch);
  device_->stream(device::StreamKind::compute).compute([&](const device::ComputeScope& scope) { backend_.run(scope, call); });
}

// Each rank adds up the squares of what it owns.
double ToyReference::scaled_norm() const {
  double squares = 0.0;
  for (int rank = 0; rank < problem_.ranks; ++rank) {
    double own_squares = 0.0;
    for (std::size_t object = 0; object < objects_.size(); ++object) {
      if (!problem_.objects[object].trained) continue;
      const schedule::Range range = schedule::part_of(problem_.objects[object], rank, problem_.ranks);
      std::vector<double> partials(range.cells / optim::kNormBlock);
      optim::square_sums(std::span(gradients_[object].front()).subspan(range.begin, range.cells), partials, optim::Target::scalar);
      for (double partial : partials) own_squares += partial;
    }
    squares += own_squares;
  }
  return std::sqrt(squares);
}

ToyReference::Step ToyReference::train(StepBatch& batch) {
  summed_.clear();
  for (const std::vector<int>& users : users_) summed_.emplace_back(users.size(), false);
  for (const schedule::Visit& each : schedule::training_visits(problem_)) visit(each, batch);
  add_up();
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
  for (std::size_t object = 0; object < objects_.size(); ++object) {
    if (problem_.objects[object].trained) update(object, scalars);
  }
  ++counters_.updates;
  if (policy_.dynamic_scale && ++counters_.good_steps == policy_.growth_interval) {
    counters_.loss_scale *= 2.0;
    counters_.good_steps = 0;
  }
  return step;
}

void ToyReference::add_up() {
  for (auto& of_users : gradients_) {
    for (std::size_t user = 1; user < of_users.size(); ++user) optim::add_in_place(of_users.front(), of_users[user], optim::Target::scalar);
  }
}

void ToyReference::update(std::size_t object, const optim::StepScalars& scalars) {
  const auto runs = decay_runs(problem_);
  ToyObject& stored = objects_[object];
  optim::UpdateChunk chunk;
  chunk.weight = stored.weights.data();
  const std::size_t first = problem_.objects[object].master ? 1 : 0;
  if (first > 0) chunk.master = stored.states[0].data();
  for (std::size_t k = first; k < stored.states.size(); ++k) chunk.states[k - first] = stored.states[k].data();
  chunk.gradient = gradients_[object].front().data();
  chunk.elements = gradients_[object].front().size();
  chunk.runs = runs[object];
  if (!optimizers_.by_object()[object]->update(scalars, chunk)) throw std::runtime_error("the toy's weights are not finite");
}

void ToyReference::validate(StepBatch& batch) {
  for (const schedule::Visit& each : schedule::forward_visits(problem_)) {
    const Op op = each.pass == schedule::Pass::forward ? Op::forward : Op::head_forward;
    for (int rank = 0; rank < problem_.ranks; ++rank) {
      for (int micro_batch : each.micro_batches) compute(op, each.unit, rank * problem_.micro_batches + micro_batch, batch);
    }
  }
}

}  // namespace gsnake::runtime::test
