#include "runtime/rig.h"

#include "runtime/store_layout.h"

namespace gsnake::runtime::test {
namespace {

constexpr std::uint64_t kBatchSeed = 20;

schedule::Fractions random_placement(Random& random) {
  return random.one_of<schedule::Fractions>({{0.0, 0.0}, {0.0, 0.0}, {0.0, 1.0}, {1.0, 0.0}, {1.0 / 3, 1.0 / 3}, {0.2, 0.5}});
}

void draw_optimizer(Setup& setup, Random& random) {
  setup.optimizer.rule = random.one_of<UpdateRule>({UpdateRule::adamw, UpdateRule::adamw, UpdateRule::adam, UpdateRule::lion, UpdateRule::sgd});
  setup.optimizer.weights = random.one_of<optim::WeightFormat>({optim::WeightFormat::fp32, optim::WeightFormat::bf16, optim::WeightFormat::fp16});
  setup.optimizer.moments = random.below(3) == 0 ? optim::MomentFormat::bf16 : optim::MomentFormat::fp32;
}

// With steps that are clipped, not clipped and skipped.
void draw_guard(Setup& setup, Random& random) {
  schedule::Problem& p = setup.problem;
  p.guard = random.one_of<schedule::Guard>({schedule::Guard::none, schedule::Guard::deferred, schedule::Guard::speculative});
  if (p.guard == schedule::Guard::none) return;
  setup.policy.skips = setup.blows_up = random.coin();
  setup.policy.clip_norm = random.one_of<double>({0.0, 0.05, 0.5, 1e9});
  setup.policy.dynamic_scale = random.coin();
  setup.policy.growth_interval = 2;
  setup.counters.loss_scale = random.one_of<double>({1.0, 1024.0});
  if (p.guard == schedule::Guard::deferred) p.delay = 1.0;
  if (p.guard == schedule::Guard::speculative) {
    setup.slots = 2;
    p.commits = true;
    p.weights = p.optimizer = {0.0, 0.0};
  }
}

void draw_machine(Setup& setup, Random& random, std::uint64_t seed) {
  setup.pools = schedule::test::random_pools(setup.problem, seed);
  setup.engine = random.coin() ? io::EngineChoice::io_uring : io::EngineChoice::threads;
  setup.optimizer_threads = static_cast<unsigned>(random.between(1, 2));
}

}  // namespace

Setup random_setup(std::uint64_t seed) {
  Random random(seed);
  Setup setup;
  schedule::Problem& p = setup.problem;
  const int units = random.between(2, 6);
  for (int unit = 0; unit < units; ++unit) add_unit(p, {.elements = 1 + random.below(7 * schedule::kGrain)});
  if (random.coin()) p.units.back().objects.push_back(0);
  p.activation_bytes = sizeof(float) * (1 + random.below(2000));
  p.ids_bytes = kIdsBytes;
  p.micro_batches = random.between(1, 5);
  p.schedule = random.below(3) == 0 ? schedule::ScheduleKind::horizontal : schedule::ScheduleKind::vertical;
  p.order = p.schedule == schedule::ScheduleKind::vertical && random.coin() ? schedule::Order::snake : schedule::Order::ascending;
  p.delay = random.one_of<double>({0.0, 0.25, 0.7, 1.0});
  p.weights = random_placement(random);
  p.optimizer = random_placement(random);
  p.activations = random_placement(random);
  p.gradients_host = random.one_of<double>({0.0, 0.5, 1.0});
  p.kept = random.one_of<double>({0.0, 0.0, 0.5, 1.0});
  p.chunk_elements = schedule::kGrain * random.one_of<std::uint64_t>({1, 2, 512});
  setup.paths = random.coin() ? 3 : 1;
  setup.slots = random.between(1, 2);
  p.commits = setup.slots == 2;
  draw_optimizer(setup, random);
  for (schedule::Object& object : p.objects) set_format(object, setup.optimizer);
  draw_guard(setup, random);
  schedule::test::draw_updates(p, seed);
  draw_machine(setup, random, seed);
  return setup;
}

Setup random_table_setup(std::uint64_t seed) {
  Random random(seed);
  Setup setup;
  schedule::Problem& p = setup.problem = schedule::test::random_table(seed);
  if (!p.trains()) {  // the head alone, then
    p.units.back().objects.push_back(p.object_count());
    p.objects.push_back({.elements = 1 + random.below(schedule::kGrain)});
  }
  p.guard = schedule::Guard::none;
  p.activation_bytes = sizeof(float) * (1 + random.below(2000));
  p.ids_bytes = kIdsBytes;
  setup.paths = random.coin() ? 3 : 1;
  setup.slots = p.commits ? 2 : 1;
  draw_optimizer(setup, random);
  optim::OptimizerSpec own = setup.optimizer;
  for (schedule::Object& object : p.objects) {
    own.weights = random.one_of<optim::WeightFormat>({optim::WeightFormat::fp32, optim::WeightFormat::bf16, optim::WeightFormat::fp16});
    if (object.trained) set_format(object, own);
    if (object.packed()) object.packed_bytes = toy_packed_bytes(object.elements);
  }
  draw_guard(setup, random);
  draw_machine(setup, random, seed);
  return setup;
}

Setup ssd_setup() {
  Setup setup;
  schedule::Problem& p = setup.problem;
  for (std::uint64_t elements : {6 * schedule::kGrain, 5 * schedule::kGrain, 5 * schedule::kGrain, 4 * schedule::kGrain - 7}) add_unit(p, {.elements = elements});
  p.units.back().objects.push_back(0);
  p.activation_bytes = 4000;
  p.ids_bytes = kIdsBytes;
  p.micro_batches = 3;
  p.delay = 0.4;
  p.activations = {0.0, 0.0};
  p.gradients_host = 0.0;
  p.chunk_elements = 2 * schedule::kGrain;
  setup.pools = schedule::minimum_pools(p);
  for (int& slots : setup.pools) slots += 2;
  return setup;
}

std::string describe(const Setup& setup) {
  std::string pools;
  for (int slots : setup.pools) pools += ' ' + std::to_string(slots);
  return schedule::test::describe(setup.problem) + ", pools" + pools + ", paths " + std::to_string(setup.paths) + ", slots " + std::to_string(setup.slots) +
         (setup.engine == io::EngineChoice::threads ? ", threads" : ", io_uring") + ", optimizer threads " + std::to_string(setup.optimizer_threads) + ", " +
         word_of(setup.optimizer.rule) + (setup.optimizer.moments == optim::MomentFormat::bf16 ? ", bf16 moments" : "") + ", clip " + std::to_string(setup.policy.clip_norm) +
         (setup.blows_up ? ", blows up" : "") + (setup.policy.dynamic_scale ? ", dynamic scale" : "");
}

bool ReadingCommitter::may_commit(std::int64_t step) {
  if (!declines_ || step % 3 != 0) return true;
  const std::lock_guard lock(mutex_);
  declined_.insert(step);
  return false;
}

std::set<std::int64_t> ReadingCommitter::declined() {
  const std::lock_guard lock(mutex_);
  return declined_;
}

void ReadingCommitter::commit(std::int64_t step, const StepCounters& counters, int slot) {
  Commit made{step, counters, slot, read_(slot)};
  const std::lock_guard lock(mutex_);
  commits_.push_back(std::move(made));
}

std::vector<ReadingCommitter::Commit> ReadingCommitter::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(commits_, {});
}

Rig::Rig(Setup setup, device::Device& device, ComputeBackend* backend, const optim::Optimizer* optimizer, Committer* committer)
    : setup_(std::move(setup)), program_(setup_.build(setup_.problem, setup_.pools)), initial_(initial_objects(setup_.problem, setup_.seed)),
      toy_(setup_.problem, setup_.blows_up), optimizers_(setup_.problem, setup_.optimizer),
      base_(setup_.base ? setup_.base : std::make_shared<ToyBase>(folder_ / "base.bin", setup_.problem, initial_)) {
  open_store();
  ExecutorOptions options;
  options.emulated_rates = setup_.rates;
  options.optimizer_threads = setup_.optimizer_threads;
  options.optimizers = optimizers_.by_object();
  for (const optim::Optimizer*& own : options.optimizers) own = own != nullptr && optimizer != nullptr ? optimizer : own;
  options.decay_runs = decay_runs(setup_.problem);
  options.policy = setup_.policy;
  options.counters = setup_.counters;
  options.collective = setup_.collective;
  options.agreement = setup_.agreement;
  options.base_hashes = base_->hashes();
  options.verify_reads = setup_.verify_reads;
  if (setup_.problem.commits) options.committer = committer == nullptr ? &committer_ : committer;
  executor_ = std::make_unique<Executor>(program_, device, *store_, backend == nullptr ? toy_ : *backend, std::move(options));
}

void Rig::open_store() {
  store::StoreOptions options;
  options.run_dir = folder_ / "run";
  for (int path = 0; path < setup_.paths; ++path) {
    options.ssd_paths.push_back(folder_ / ("ssd" + std::to_string(path)));
    options.stripe_weights.push_back(1.0 + path);
  }
  options.engine = setup_.engine;
  options.engine_options.depth = 128;
  options.wrap_engine = setup_.wrap_engine;
  options.base = base_->file();
  store_ = store::Store::create(options, store_layout(setup_.problem, setup_.slots));
  write_objects(*store_, setup_.problem, initial_, 0);
}

Started& Rig::add(bool training) {
  Started& added = started_.emplace_back();
  const schedule::Problem& problem = setup_.problem;
  const auto own = static_cast<std::size_t>(problem.micro_batches * kTokens);
  const std::size_t tokens = static_cast<std::size_t>(problem.ranks) * own;
  Random random(started_.size() * 1000 + kBatchSeed);
  for (std::size_t i = 0; i < tokens; ++i) {
    added.inputs.push_back(static_cast<std::int64_t>(random.below(100)));
    added.labels.push_back(static_cast<std::int64_t>(random.below(20)));
  }
  if (training) added.batch.step = ++steps_;
  added.batch.training = training;
  added.batch.inputs = std::span(added.inputs).subspan(static_cast<std::size_t>(problem.rank) * own, own);
  added.batch.labels = std::span(added.labels).subspan(static_cast<std::size_t>(problem.rank) * own, own);
  added.batch.loss_factor = 1.0F / static_cast<float>(tokens);
  added.batch.losses.assign(static_cast<std::size_t>(problem.ranks * problem.micro_batches), 0.0);
  return added;
}

Started& Rig::load() {
  Started& loading = started_.emplace_back();
  loading.variant = schedule::Variant::load;
  loading.ticket = executor_->load();
  return loading;
}

Started& Rig::train(bool commits) {
  Started& step = add(true);
  step.variant = executor_->pending() ? schedule::Variant::train : schedule::Variant::train_first;
  step.ticket = executor_->train(step.batch, commits);
  return step;
}

Started& Rig::validate() {
  Started& pass = add(false);
  pass.variant = executor_->pending() ? schedule::Variant::validate_pending : schedule::Variant::validate;
  pass.ticket = executor_->validate(pass.batch);
  return pass;
}

void Rig::finish() {
  Started& last = started_.emplace_back();
  last.variant = executor_->pending() ? schedule::Variant::finish_pending : schedule::Variant::finish;
  last.ticket = executor_->finish();
  executor_->wait_end(last.ticket - 1);
  executor_->wait_end(last.ticket);
}

std::vector<ToyObject> Rig::stored() { return read_slot(executor_->slots().committed_slot()); }

std::vector<ToyObject> Rig::read_slot(int slot) { return read_objects(*store_, setup_.problem, initial_, slot); }

std::vector<std::byte> Rig::scratch(const core::Extent& extent) {
  const memory::AnonymousMemory buffer(extent.bytes);
  store_->read(extent, 0, buffer.data());
  return {buffer.data(), buffer.data() + extent.bytes};
}

std::string Rig::file_of(store::Kind kind) const {
  return folder_ / "ssd0/gsnake-" + store::kKindNames[static_cast<std::size_t>(kind)] + ".bin";
}

}  // namespace gsnake::runtime::test
