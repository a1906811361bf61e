#include "runtime/rig.h"

#include <cstring>

namespace gsnake::runtime::test {
namespace {

constexpr std::uint64_t kSeed = 20;
constexpr std::array kStateKinds{store::Kind::weights, store::Kind::moment1, store::Kind::moment2};

std::array<std::vector<float> ToyObject::*, 3> members() { return {&ToyObject::weights, &ToyObject::moment1, &ToyObject::moment2}; }

store::Layout make_layout(const schedule::Problem& problem, int slots) {
  store::Layout layout;
  for (store::Kind state : kStateKinds) {
    store::KindLayout& kind = layout.kinds[static_cast<std::size_t>(state)];
    kind.slots = slots;
    for (std::uint64_t elements : problem.elements) {
      kind.logical_bytes.push_back(elements * sizeof(float));
      kind.padded_bytes.push_back(schedule::padded_elements(elements) * sizeof(float));
    }
  }
  for (const schedule::Extent& extent : schedule::make_map(problem, {}).extents) {
    if (extent.kind < schedule::ExtentKind::gradients) continue;
    std::vector<std::uint64_t>& padded = layout.kinds[static_cast<std::size_t>(extent.kind)].padded_bytes;
    const auto object = static_cast<std::size_t>(extent.object);
    if (padded.size() <= object) padded.resize(object + 1, 0);
    padded[object] = std::max(padded[object], extent.offset + extent.bytes);
    layout.kinds[static_cast<std::size_t>(extent.kind)].logical_bytes = padded;
  }
  return layout;
}

schedule::Fractions random_placement(Random& random) {
  return random.one_of<schedule::Fractions>({{0.0, 0.0}, {0.0, 0.0}, {0.0, 1.0}, {1.0, 0.0}, {1.0 / 3, 1.0 / 3}, {0.2, 0.5}});
}

}  // namespace

Setup random_setup(std::uint64_t seed) {
  Random random(seed);
  Setup setup;
  schedule::Problem& p = setup.problem;
  const int units = random.between(2, 6);
  for (int unit = 0; unit < units; ++unit) p.elements.push_back(1 + random.below(7 * schedule::kGrain));
  p.tied = random.coin();
  p.activation_bytes = sizeof(float) * (1 + random.below(2000));
  p.micro_batches = random.between(1, 5);
  p.schedule = random.below(3) == 0 ? schedule::ScheduleKind::horizontal : schedule::ScheduleKind::vertical;
  p.order = p.schedule == schedule::ScheduleKind::vertical && random.coin() ? schedule::Order::snake : schedule::Order::ascending;
  p.delay = random.one_of<double>({0.0, 0.25, 0.7, 1.0});
  p.weights = random_placement(random);
  p.optimizer = random_placement(random);
  p.activations = random_placement(random);
  p.gradients_host = random.one_of<double>({0.0, 0.5, 1.0});
  p.chunk_elements = schedule::kGrain * random.one_of<std::uint64_t>({1, 2, 512});
  setup.pools = schedule::test::random_pools(p, seed);
  setup.paths = random.coin() ? 3 : 1;
  setup.slots = random.between(1, 2);
  p.commits = setup.slots == 2;
  setup.engine = random.coin() ? io::EngineChoice::io_uring : io::EngineChoice::threads;
  setup.optimizer_threads = static_cast<unsigned>(random.between(1, 2));
  return setup;
}

Setup ssd_setup() {
  Setup setup;
  schedule::Problem& p = setup.problem;
  p.elements = {6 * schedule::kGrain, 5 * schedule::kGrain, 5 * schedule::kGrain, 4 * schedule::kGrain - 7};
  p.tied = true;
  p.activation_bytes = 4000;
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
         (setup.engine == io::EngineChoice::threads ? ", threads" : ", io_uring") + ", optimizer threads " + std::to_string(setup.optimizer_threads);
}

void ReadingCommitter::commit(std::int64_t step, int slot) {
  Commit made{step, slot, read_(slot)};
  const std::lock_guard lock(mutex_);
  commits_.push_back(std::move(made));
}

std::vector<ReadingCommitter::Commit> ReadingCommitter::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(commits_, {});
}

Rig::Rig(Setup setup, device::Device& device, ComputeBackend* backend, const optim::Optimizer* optimizer, Committer* committer)
    : setup_(std::move(setup)), program_(schedule::build_program(setup_.problem, setup_.pools)), initial_(initial_objects(setup_.problem, kSeed)),
      toy_(setup_.problem), adamw_(optim::make_adamw(kHyper)) {
  open_store();
  ExecutorOptions options;
  options.emulated_rates = setup_.rates;
  options.optimizer_threads = setup_.optimizer_threads;
  options.decay_runs = decay_runs(setup_.problem);
  if (setup_.problem.commits) options.committer = committer == nullptr ? &committer_ : committer;
  executor_ = std::make_unique<Executor>(program_, device, *store_, backend == nullptr ? toy_ : *backend, optimizer == nullptr ? adamw_.get() : optimizer,
                                         std::move(options));
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
  store_ = store::Store::create(options, make_layout(setup_.problem, setup_.slots));
  for (std::size_t object = 0; object < initial_.size(); ++object) {
    for (std::size_t kind = 0; kind < kStateKinds.size(); ++kind) {
      const std::vector<float>& values = initial_[object].*members()[kind];
      const memory::AnonymousMemory buffer(values.size() * sizeof(float));
      std::memcpy(buffer.data(), values.data(), values.size() * sizeof(float));
      store_->write({kStateKinds[kind], static_cast<std::uint32_t>(object), 0, values.size() * sizeof(float)}, 0, buffer.data());
    }
  }
}

Started& Rig::add(bool training) {
  Started& added = started_.emplace_back();
  const auto tokens = static_cast<std::size_t>(setup_.problem.micro_batches * kTokens);
  Random random(started_.size() * 1000 + kSeed);
  for (std::size_t i = 0; i < tokens; ++i) {
    added.inputs.push_back(static_cast<std::int64_t>(random.below(100)));
    added.labels.push_back(static_cast<std::int64_t>(random.below(20)));
  }
  if (training) {
    ++updates_;
    added.batch.step = ++steps_;
    added.scalars = {0.01 / static_cast<double>(updates_), updates_};
  }
  added.batch.training = training;
  added.batch.inputs = added.inputs.data();
  added.batch.labels = added.labels.data();
  added.batch.loss_factor = 1.0F / static_cast<float>(tokens);
  added.batch.losses.assign(static_cast<std::size_t>(setup_.problem.micro_batches), 0.0);
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
  step.ticket = executor_->train(step.batch, step.scalars, commits);
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

std::vector<ToyObject> Rig::read_slot(int slot) {
  std::vector<ToyObject> objects(initial_.size());
  for (std::size_t object = 0; object < objects.size(); ++object) {
    for (std::size_t kind = 0; kind < kStateKinds.size(); ++kind) {
      std::vector<float>& values = objects[object].*members()[kind];
      values.resize(initial_[object].weights.size());
      const memory::AnonymousMemory buffer(values.size() * sizeof(float));
      store_->read({kStateKinds[kind], static_cast<std::uint32_t>(object), 0, values.size() * sizeof(float)}, slot, buffer.data());
      std::memcpy(values.data(), buffer.data(), values.size() * sizeof(float));
    }
  }
  return objects;
}

std::string Rig::file_of(store::Kind kind) const {
  return folder_ / "ssd0/" + store::kKindNames[static_cast<std::size_t>(kind)] + ".bin";
}

}  // namespace gsnake::runtime::test
