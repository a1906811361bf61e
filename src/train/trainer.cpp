#include "greedysnake/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "core/log.h"
#include "core/threads.h"
#include "greedysnake/error.h"
#include "model/layout.h"
#include "schedule/traffic.h"
#include "train/alike.h"
#include "train/batch_shape.h"
#include "train/committed_weights.h"
#include "train/group.h"
#include "train/measured_link.h"
#include "train/open_run.h"
#include "train/resolved_by_all.h"
#include "train/rewards.h"
#include "train/run_report.h"
#include "train/session.h"
#include "train/session_prediction.h"

namespace gsnake {
using schedule::Lane;

static_assert(kLanes == schedule::kLaneCount);

const char* lane_name(int lane) { return schedule::kLaneNames.at(static_cast<std::size_t>(lane)); }

class Trainer::Impl {
 public:
  struct Start;
  Impl(Start start, const TrainerOptions& options);
  // The lanes may still be at work on a step that nobody waited for: they end before its batch does.
  ~Impl() {
    if (session.group) session.group->on_failure({});
    if (run) run->end();
    session.executor.reset();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void open(const std::vector<std::string>& choices, const TrainerOptions& options);
  void submit(const BatchView& batch);
  StepResult wait();
  [[nodiscard]] std::int64_t in_flight() const { return submitted_ - waited_; }
  double validate(const BatchView& batch);
  [[nodiscard]] std::optional<Rewards> validation_rewards() const { return validation_rewards_; }
  void commit();
  std::vector<float> weights(std::int64_t unit);
  Traffic take_traffic();
  void write_trace(const std::string& path);

  train::Session session;
  std::unique_ptr<checkpoint::DurableRun> run;
  std::int64_t completed = 0;  // steps whose results were given out
  RunReport report;
  runtime::Trace trace;

 private:
  [[nodiscard]] std::int64_t ranks() const { return session.config.ranks.count; }
  [[nodiscard]] std::int64_t micro_batches() const { return session.config.train.micro_batches; }
  // Of a vector over all ranks' micro-batches.
  template <typename T>
  [[nodiscard]] std::span<const T> own_share(std::span<const T> all) const {
    const std::size_t own = all.size() / static_cast<std::size_t>(ranks());
    return all.subspan(static_cast<std::size_t>(session.config.ranks.rank) * own, own);
  }

  struct InFlight {
    runtime::Executor::Ticket ticket = -1;
    runtime::StepBatch batch;
    std::int64_t count = 0;                         // that the loss is the mean over
    std::vector<std::vector<std::int32_t>> starts;  // the batch's: its own, since the caller's goes on to the next
    StepResult result;
  };

  void fill(InFlight& step, const BatchView& batch, bool training);
  double loss_of(const InFlight& step) const;
  [[nodiscard]] Traffic traffic_of(runtime::Executor::Ticket ticket) const;
  void count(const Traffic& bytes);
  std::array<double, kLanes> busy_since(runtime::LaneTotals& seen) const;  // milliseconds by lane since `seen`, which becomes now
  void throw_if_failed() const;
  void judge(StepResult& result, const runtime::StepOutcome& outcome);
  void skip_or_fail(StepResult& result, const runtime::StepOutcome& outcome);
  void check_weights(const StepResult& result);
  template <typename Failure>  // NonFiniteEverywhere: every rank finds the same
  [[noreturn]] void fail(const StepResult& result, const std::string& what);

  InFlight steps_[2];
  InFlight validation_;
  std::optional<Rewards> validation_rewards_;
  std::int64_t submitted_ = 0;  // by this process
  std::int64_t waited_ = 0;
  std::int64_t first_step_ = 0;  // steps before this process
  std::exception_ptr failure_;  // that the executor does not know of
  std::chrono::steady_clock::time_point results_at_ = std::chrono::steady_clock::now();
  Traffic traffic_;
  std::uint64_t dequantised_ = 0;  // seen by take_traffic()
  runtime::LaneTotals seen_;             // by take_traffic()
  runtime::LaneTotals seen_at_results_;  // by wait()
};

namespace {

// Of a session whose lanes have not started. A trainer on parts of a test's is nothing that was measured. No run ends for want of a prediction.
std::optional<sim::MachineProfile> profile_for(train::Session& session, const TrainerOptions& options) {
  if (options.parts) return std::nullopt;
  train::MachineRequest request;
  request.file = options.machine;
  if (options.progress) request.told = [&options](const std::string& what) { options.progress(what, 0, 0); };
  try {
    std::optional<train::KnownMachine> machine = train::known_machine(session.model, session.config, session.layout, request);
    return machine ? std::optional(std::move(machine->profile)) : std::nullopt;
  } catch (const Error& error) {
    if (!options.machine.empty()) throw;  // a file that was named has to be one
    spdlog::warn("steps are not predicted: {}", error.what());
    return std::nullopt;
  }
}

std::shared_ptr<dist::RankGroup> group_of(const Config& config, const TrainerOptions& options) {
  if (config.ranks.count == 1) return nullptr;
  return options.group ? options.group : dist::RankGroup::join(config.ranks);
}

}  // namespace

// In order: what precedes the session looks at the model, which then is the session's.
struct Trainer::Impl::Start {
  Start(Model made, const Config& config, const TrainerOptions& options)
      : model((config.validate(), std::move(made))), group(group_of(config, options)), resolved(train::resolved_by_all(model, config, options, group.get())) {}
  Model model;
  std::shared_ptr<dist::RankGroup> group;
  train::Resolved resolved;
};

Trainer::Impl::Impl(Start start, const TrainerOptions& options)
    : session(train::telling_of_failure(start.group.get(), [&] {
        return train::Session(std::move(start.model), start.resolved.config, train::Purpose::train, options.parts ? *options.parts : train::Parts(), options.progress);
      })) {
  session.group = start.group;
  train::telling_of_failure(session.group.get(), [&] { open(start.resolved.choices, options); });
}

// Whatever a rank refuses, it does before any has made anything, and while the others listen.
void Trainer::Impl::open(const std::vector<std::string>& choices, const TrainerOptions& options) {
  train::refuse_different_ranks(session.group.get(), session.config, options);
  run = train::open_run(session, options);
  first_step_ = completed = run->started();
  // Before start(), which gives back what this takes: the budgets' slots are not there yet.
  Prediction prediction;
  if (const auto profile = train::with_link(profile_for(session, options), !options.machine.empty(), session)) prediction = train::prediction_of(session, *profile);
  session.progress = options.progress;
  session.start(run->committed() >= 0 ? checkpoint::StartState::checked : checkpoint::StartState::fresh, &run->committer());
  run->attach(*session.executor);
  if (session.group) session.group->on_failure([this](std::exception_ptr failure) { session.executor->interrupt(std::move(failure)); });
  report = train::report_of(session);
  report.resumed_step = first_step_;
  report.choices = choices.empty() ? options.choices : choices;
  report.prediction = std::move(prediction);
  count(traffic_of(session.load_ticket));
  train::meet(session.group.get());
  results_at_ = std::chrono::steady_clock::now();
}

Traffic Trainer::Impl::traffic_of(runtime::Executor::Ticket ticket) const {
  const schedule::Graph& graph = session.executor->graph(ticket);
  const schedule::Conditions conditions = session.executor->conditions(ticket);
  Traffic bytes;
  bytes.ssd_read_bytes = graph.lane_bytes(Lane::ssd_read, conditions);
  bytes.ssd_write_bytes = graph.lane_bytes(Lane::ssd_write, conditions);
  bytes.h2d_bytes = graph.lane_bytes(Lane::h2d, conditions);
  bytes.d2h_bytes = graph.lane_bytes(Lane::d2h, conditions);
  return bytes;
}

void Trainer::Impl::count(const Traffic& bytes) {
  traffic_.ssd_read_bytes += bytes.ssd_read_bytes;
  traffic_.ssd_write_bytes += bytes.ssd_write_bytes;
  traffic_.h2d_bytes += bytes.h2d_bytes;
  traffic_.d2h_bytes += bytes.d2h_bytes;
}

void Trainer::Impl::fill(InFlight& step, const BatchView& batch, bool training) {
  train::check_batch(batch, micro_batches(), session.shape, session.model.vocab);
  step.batch.training = training;
  step.batch.inputs = own_share(batch.inputs);
  step.batch.labels = own_share(batch.labels);
  step.starts.assign(batch.starts.begin(), batch.starts.end());
  step.batch.starts = own_share<std::vector<std::int32_t>>(step.starts);
  step.batch.losses.assign(static_cast<std::size_t>(micro_batches()), 0.0);
  step.batch.sums.assign(static_cast<std::size_t>(micro_batches() * (plan::head_results(session.shape.passes) - 1)), 0.0);
}

double Trainer::Impl::loss_of(const InFlight& step) const {
  double loss = 0.0;
  for (double micro_batch : step.batch.losses) loss += micro_batch;
  return loss;
}

void Trainer::Impl::throw_if_failed() const {
  if (failure_) std::rethrow_exception(failure_);
  session.executor->throw_if_failed();
}

void Trainer::Impl::submit(const BatchView& batch) {
  throw_if_failed();
  if (in_flight() >= 2) throw std::logic_error("Trainer::submit: two steps are waiting already; call wait() first");
  InFlight& step = steps_[submitted_ % 2];
  fill(step, batch, true);
  step.result = {};
  step.result.tokens = train::counted_tokens(batch);
  step.count = train::loss_count(batch, step.result.tokens, session.shape);
  step.batch.loss_factor = train::loss_factor(step.count);
  step.ticket = run->train(step.batch);
  step.result.step = step.batch.step;
  ++submitted_;
}

StepResult Trainer::Impl::wait() {
  throw_if_failed();
  if (submitted_ == waited_) throw std::logic_error("Trainer::wait: no step was submitted");
  InFlight& step = steps_[waited_ % 2];
  session.executor->wait_results(step.ticket);
  StepResult& result = step.result;
  result.loss = result.tokens == 0 ? std::numeric_limits<double>::quiet_NaN() : loss_of(step);
  train::RewardSums rewards;
  rewards.add(step.batch.sums);
  result.rewards = rewards.over(step.count);
  const runtime::StepOutcome& outcome = session.executor->outcome(step.ticket);
  result.grad_norm = outcome.verdict.gradient_norm;
  result.learning_rate = outcome.verdict.scalars.learning_rate;
  result.loss_scale = outcome.verdict.loss_scale;
  result.redone = outcome.what.revised;
  const auto now = std::chrono::steady_clock::now();
  result.step_ms = std::chrono::duration<double, std::milli>(now - results_at_).count();
  result.tokens_per_second = result.step_ms > 0.0 ? static_cast<double>(result.tokens) / result.step_ms * 1e3 : 0.0;
  results_at_ = now;
  result.lanes = busy_since(seen_at_results_);
  const std::vector<double>& predicted = report.prediction.step_ms;
  if (!predicted.empty()) result.predicted_ms = predicted[std::min(static_cast<std::size_t>(waited_), predicted.size() - 1)];
  ++waited_;
  completed = result.step;
  count(traffic_of(step.ticket));
  judge(result, outcome);
  return result;
}

void Trainer::Impl::judge(StepResult& result, const runtime::StepOutcome& outcome) {
  // A weight that the step before spoilt is why this one is not finite.
  const bool spoilt_before = session.executor->bad_weight() >= 0 && outcome.bad_weight.load(std::memory_order_relaxed) < 0;
  if (!outcome.verdict.finite && !spoilt_before) skip_or_fail(result, outcome);
  check_weights(result);
}

void Trainer::Impl::skip_or_fail(StepResult& result, const runtime::StepOutcome& outcome) {
  // A loss that is not finite makes every gradient so.
  const bool of_loss = outcome.bad_gradient < 0 || !std::isfinite(result.loss);
  const std::string what = of_loss ? "the loss" : "the gradient of " + model::name_of_unit(session.model, outcome.bad_gradient);
  const runtime::Policy& policy = session.numerics.policy;
  if (!policy.skips) fail<train::NonFiniteEverywhere>(result, what + " is not finite");
  constexpr double kLeastScale = 1.0 / 16384.0;
  const double scale = outcome.verdict.after.loss_scale;
  if (policy.dynamic_scale && scale < kLeastScale) fail<train::NonFiniteEverywhere>(result, fmt::format("{} is not finite, at whatever loss scale (now {:.2g}),", what, scale));
  result.skipped = true;
  spdlog::warn("step {} is skipped: {} is not finite{}", result.step, what, policy.dynamic_scale ? fmt::format("; the loss scale falls to {}", scale) : "");
}

void Trainer::Impl::check_weights(const StepResult& result) {
  const int object = session.executor->bad_weight();
  if (object >= 0) fail<NonFiniteError>(result, "a new weight of " + model::name_of_unit(session.model, object) + " is not finite, or too large for train.dtype,");
}

template <typename Failure>
void Trainer::Impl::fail(const StepResult& result, const std::string& what) {
  const std::string commit = run->committed() > 0 ? fmt::format("; step {} is committed", run->committed()) : "";
  failure_ = std::make_exception_ptr(Failure(
      fmt::format("{} in step {}; lower optimizer.learning_rate or train.loss_scale, or check the data{}", what, result.step, commit), result));
  std::rethrow_exception(failure_);
}

double Trainer::Impl::validate(const BatchView& batch) {
  throw_if_failed();
  if (submitted_ != waited_) throw std::logic_error("Trainer::validate: steps are waiting; call wait() first");
  const auto& shape = session.shape;
  const auto per_micro_batch = static_cast<std::size_t>(shape.rows * shape.tokens);
  const auto per_pass = per_micro_batch * static_cast<std::size_t>(session.config.train.micro_batches);
  if (batch.inputs.empty() || batch.inputs.size() % per_micro_batch != 0 || batch.labels.size() != batch.inputs.size()) {
    throw Error(ErrorKind::usage, "a validation batch holds whole micro-batches of micro_batch_size x sequence_length tokens");
  }
  const std::int64_t tokens = train::counted_tokens(batch);
  const std::int64_t mean_over = train::loss_count(batch, tokens, session.shape);
  double loss = 0.0;
  train::RewardSums rewards;
  for (std::size_t first = 0; first < batch.inputs.size(); first += per_pass) {
    const Batch pass = train::pass_of(batch, first, per_pass, shape);
    fill(validation_, pass, false);
    validation_.batch.loss_factor = train::loss_factor(mean_over);
    validation_.ticket = session.executor->validate(validation_.batch);
    session.executor->wait_results(validation_.ticket);
    count(traffic_of(validation_.ticket));
    loss += loss_of(validation_);
    rewards.add(validation_.batch.sums);
  }
  validation_rewards_ = rewards.over(mean_over);
  if (submitted_ > 0) check_weights(steps_[(submitted_ - 1) % 2].result);
  results_at_ = std::chrono::steady_clock::now();
  return tokens == 0 ? std::numeric_limits<double>::quiet_NaN() : loss;
}

void Trainer::Impl::commit() {
  throw_if_failed();
  if (submitted_ != waited_) throw std::logic_error("Trainer::commit: steps are waiting; call wait() first");
  if (run->all_committed()) return run->wait_for_snapshot();
  count(traffic_of(run->finish()));
  if (submitted_ > 0) check_weights(steps_[(submitted_ - 1) % 2].result);
  run->commit_finished();
}

std::vector<float> Trainer::Impl::weights(std::int64_t unit) {
  if (!run->all_committed()) throw std::logic_error("Trainer::weights: call commit() first");
  return train::committed_weights(session, unit);
}

std::array<double, kLanes> Trainer::Impl::busy_since(runtime::LaneTotals& seen) const {
  const runtime::LaneTotals totals = session.executor->totals();
  std::array<double, kLanes> busy{};
  for (std::size_t lane = 0; lane < busy.size(); ++lane) busy[lane] = totals.busy_ms[lane] - seen.busy_ms[lane];
  seen = totals;
  return busy;
}

Traffic Trainer::Impl::take_traffic() {
  Traffic taken = traffic_;
  taken.dequantised_elements = session.backend->dequantised() - dequantised_;
  dequantised_ += taken.dequantised_elements;
  taken.busy_ms = busy_since(seen_);
  traffic_ = {};
  return taken;
}

void Trainer::Impl::write_trace(const std::string& path) {
  session.executor->record(nullptr);
  for (const InFlight& step : steps_) {
    if (step.ticket >= 0 && step.result.step <= completed) session.executor->wait_end(step.ticket);
  }
  trace.write(path);
}

// The caller's thread learns LibTorch's number of threads before it is another one for new threads.
Trainer::Trainer(Model model, const Config& config, const TrainerOptions& options)
    : impl_((static_cast<void>(at::get_num_threads()), core::on_own_thread([&] { return std::make_unique<Impl>(Impl::Start(std::move(model), config, options), options); }))) {}
Trainer::~Trainer() = default;
Trainer::Trainer(Trainer&&) noexcept = default;

StepResult Trainer::step(const BatchView& batch) {
  submit(batch);
  return wait();
}

void Trainer::submit(const BatchView& batch) {
  train::telling_of_failure(impl_->session.group.get(), [&] { impl_->submit(batch); });
}
StepResult Trainer::wait() {
  return train::telling_of_failure(impl_->session.group.get(), [&] { return impl_->wait(); });
}
double Trainer::validate(const BatchView& batch) {
  return train::telling_of_failure(impl_->session.group.get(), [&] { return impl_->validate(batch); });
}
std::optional<Rewards> Trainer::validation_rewards() const { return impl_->validation_rewards(); }
void Trainer::commit() {
  train::telling_of_failure(impl_->session.group.get(), [&] { impl_->commit(); });
}
std::vector<float> Trainer::weights(std::int64_t unit) { return impl_->weights(unit); }
std::int64_t Trainer::in_flight() const { return impl_->in_flight(); }
void Trainer::set_data_position(DataPosition position) { impl_->run->set_data_position(std::move(position)); }
const DataPosition& Trainer::data_position() const { return impl_->run->data_position(); }
Traffic Trainer::take_traffic() { return impl_->take_traffic(); }
std::int64_t Trainer::completed_steps() const { return impl_->completed; }
std::int64_t Trainer::committed_step() const { return std::max<std::int64_t>(0, impl_->run->committed()); }
std::string Trainer::slowest() const {
  const std::string task = impl_->session.executor->slowest();
  const std::string call = impl_->session.store->activity();
  // What a commit waits for is the store's to say; it may also be carried out with no lane at work.
  if (call.empty() || (!task.empty() && task.rfind("commit", 0) != 0)) return task;
  return task.empty() ? call : task + " (" + call + ")";
}
AwaitedWork Trainer::awaited() const { return impl_->session.executor->awaited(); }
const RunReport& Trainer::report() const { return impl_->report; }
void Trainer::record_trace() { impl_->session.executor->record(&impl_->trace); }

void Trainer::write_trace(const std::string& path) { impl_->write_trace(path); }

}  // namespace gsnake
