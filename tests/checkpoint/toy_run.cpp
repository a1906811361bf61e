#include "toy_run.h"

#include "checkpoint/start_state.h"
#include "runtime/store_layout.h"
#include "schedule/graph.h"

namespace gsnake::checkpoint::test {
namespace {

using namespace runtime::test;

constexpr std::uint64_t kSeed = 5;

// The tokens of a step depend on its number alone.
void fill(std::int64_t step, std::vector<std::int64_t>& inputs, std::vector<std::int64_t>& labels, int micro_batches) {
  const auto tokens = static_cast<std::size_t>(micro_batches * kTokens);
  inputs.resize(tokens);
  labels.resize(tokens);
  for (std::size_t i = 0; i < tokens; ++i) {
    inputs[i] = (step * 31 + static_cast<std::int64_t>(i) * 7) % 100;
    labels[i] = (step * 13 + static_cast<std::int64_t>(i) * 5) % 20;
  }
}

void fill(runtime::StepBatch& batch, const std::vector<std::int64_t>& inputs, const std::vector<std::int64_t>& labels, int micro_batches) {
  batch.training = true;
  batch.inputs = inputs;
  batch.labels = labels;
  batch.loss_factor = 1.0F / static_cast<float>(inputs.size());
  batch.losses.assign(static_cast<std::size_t>(micro_batches), 0.0);
}

int slots_of(const Config& config) { return config.run.durability == Durability::off ? 1 : 2 + (config.run.snapshot_every > 0 ? static_cast<int>(config.run.snapshot_keep) : 0); }

}  // namespace

ToyRun::ToyRun(double delay) {
  config.run.dir = folder / "run";
  config.ssd.paths = {folder / "run"};
  config.run.snapshot_every = 3;
  config.run.snapshot_keep = 2;
  for (const std::uint64_t elements : {2 * schedule::kGrain, schedule::kGrain}) {
    schedule::Object object;
    object.elements = elements;
    runtime::test::set_format(object, optimizer);
    schedule::add_unit(problem, std::move(object));
  }
  problem.activation_bytes = 400;
  problem.ids_bytes = kIdsBytes;
  problem.micro_batches = 1;
  problem.delay = delay;
  problem.commits = true;
  problem.chunk_elements = schedule::kGrain;
  initial = initial_objects(problem, kSeed);
}

void ToyRun::add_base() {
  constexpr std::uint64_t kElements = 3 * schedule::kGrain;
  problem.units.back().objects.push_back(problem.object_count());
  problem.objects.push_back({.elements = kElements, .trained = false, .packed_bytes = toy_packed_bytes(kElements), .state_bytes = {}});
  initial = initial_objects(problem, kSeed);
  base.emplace(folder / "base.bin", problem, initial);
}

const std::vector<ToyObject>& ToyRun::after(std::int64_t step) {
  if (!reference_ || reference_step_ > step) {
    reference_ = std::make_unique<ToyReference>(problem, optimizer, policy, runtime::StepCounters{}, initial, false);
    reference_step_ = 0;
  }
  while (reference_step_ < step) {
    runtime::StepBatch batch;
    std::vector<std::int64_t> inputs;
    std::vector<std::int64_t> labels;
    batch.step = ++reference_step_;
    fill(batch.step, inputs, labels, problem.micro_batches);
    fill(batch, inputs, labels, problem.micro_batches);
    reference_->train(batch);
  }
  return reference_->objects();
}

store::StoreOptions ToyRun::storage() const {
  store::StoreOptions options;
  options.run_dir = config.run.dir;
  options.ssd_paths = config.ssd.paths;
  options.engine = io::EngineChoice::threads;
  options.engine_options.threads = 2;
  options.engine_options.depth = 64;
  options.stream_bytes = 2ULL << 20;
  if (base) options.base = base->file();
  return options;
}

std::int64_t ToyRun::expect_whole_commit() {
  const auto store = store::Store::open_reader(storage());
  store->verify({});
  const RunState state = run_state_from(store->manifest()->training);
  EXPECT_EQ(state.updates, state.step);
  EXPECT_EQ(state.position.cursor, static_cast<std::uint64_t>(state.step) * 10);
  EXPECT_TRUE(read_objects(*store, problem, initial, store->committed_slot()) == after(state.step)) << "step " << state.step;
  return state.step;
}

ToyTrainer::ToyTrainer(ToyRun& run, const Hooks& hooks)
    : run_(run), program_(schedule::build_program(run.problem, schedule::minimum_pools(run.problem))), backend_(run.problem),
      optimizers_(run.problem, run.optimizer) {
  open(hooks, program_.map);
  start(hooks);
}

void ToyTrainer::open(const Hooks& hooks, const schedule::Map& map) {
  store::StoreOptions storage = run_.storage();
  storage.sync = hooks.sync;
  storage.wrap_engine = hooks.wrap_engine;
  storage.generation = hooks.generation;
  storage.from_step = hooks.from_step;
  const store::Layout layout = runtime::store_layout(run_.problem, slots_of(run_.config));
  RunState state;
  if (hooks.generation || store::holds_manifest(run_.config.run.dir)) {
    store::Layout scratch;
    for (const store::Kind kind : {store::Kind::gradients, store::Kind::activations}) {
      scratch.kinds[static_cast<std::size_t>(kind)] = layout.kinds[static_cast<std::size_t>(kind)];
    }
    ResumedRun resumed = resume({run_.config, storage, scratch, run_.problem.elements(), {}, {}, nullptr, run_.problem.commits, 1, "fp32", {}});
    store_ = std::move(resumed.store);
    state = std::move(resumed.state);
    counters_ = {state.updates, state.loss_scale, state.good_steps};
  } else {
    store_ = store::Store::create(storage, layout);
    written_.emplace(map);
    write_objects(*store_, run_.problem, run_.initial, 0, [&](store::Kind kind, std::uint32_t object, auto bytes) { written_->written(kind, object, bytes); });
    state.elements = run_.problem.elements();
    state.compute_threads = 1;
    state.compute_dtype = "fp32";
  }
  CommitSettings commits;
  commits.agree = hooks.agree;
  durable_ = std::make_unique<DurableRun>(run_.config, map, *store_, std::move(state), std::move(commits));
}

void ToyTrainer::start(const Hooks& hooks) {
  const StartState how = durable_->committed() >= 0 ? StartState::checked : StartState::fresh;
  const std::vector<KnownChecksum> checksums = find_checksums(*store_, program_.map, written_ ? &*written_ : nullptr, how, {});
  if (hooks.wrap_committer) wrapped_ = hooks.wrap_committer(durable_->committer());
  runtime::ExecutorOptions options;
  options.optimizers = optimizers_.by_object();
  options.decay_runs = decay_runs(run_.problem);
  options.policy = run_.policy;
  options.counters = counters_;
  if (run_.base) options.base_hashes = run_.base->hashes();
  if (run_.problem.commits) options.committer = wrapped_ ? wrapped_.get() : &durable_->committer();
  executor_ = std::make_unique<runtime::Executor>(program_, *device_, *store_, backend_, std::move(options));
  set_up(executor_->slots(), *store_, checksums);
  durable_->attach(*executor_);
  executor_->wait_end(executor_->load());
}

ToyTrainer::~ToyTrainer() {
  durable_->end();
  executor_.reset();
}

void ToyTrainer::submit() {
  Step& step = steps_[submitted_ % 2];
  const std::int64_t number = durable_->started() + 1;
  fill(number, step.inputs, step.labels, run_.problem.micro_batches);
  fill(step.batch, step.inputs, step.labels, run_.problem.micro_batches);
  durable_->set_data_position({static_cast<std::uint64_t>(number) * 10, {}});
  step.ticket = durable_->train(step.batch);
  ++submitted_;
}

void ToyTrainer::wait() {
  executor_->wait_results(steps_[waited_ % 2].ticket);
  ++waited_;
}

void ToyTrainer::step() {
  submit();
  wait();
}

void ToyTrainer::commit() {
  while (in_flight() > 0) wait();
  if (durable_->all_committed()) return durable_->wait_for_snapshot();
  durable_->finish();
  durable_->commit_finished();
}

}  // namespace gsnake::checkpoint::test
