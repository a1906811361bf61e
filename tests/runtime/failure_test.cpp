// Whatever goes wrong in a run stops it, surfaces with its cause where it is awaited, and stays; nobody waits for ever.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <stdexcept>

#include "device/async_device.h"
#include "greedysnake/error.h"
#include "runtime/rig.h"

namespace gsnake::runtime::test {
namespace {

using testing::HasSubstr;

Setup committing_setup() {
  Setup setup = ssd_setup();
  setup.slots = 2;
  setup.problem.commits = true;
  return setup;
}

// Counts down over all calls, from any thread.
class Countdown {
 public:
  explicit Countdown(int calls) : left_(calls) {}
  void tick(const char* message) const {
    if (left_.fetch_sub(1) == 1) throw std::runtime_error(message);
  }

 private:
  mutable std::atomic<int> left_;
};

class FailingBackend final : public ToyBackend {
 public:
  FailingBackend(const schedule::Problem& problem, int calls) : ToyBackend(problem), countdown_(calls) {}
  void run(const device::ComputeScope& scope, const ComputeCall& call) override {
    step_ = call.step;
    countdown_.tick("the unit fails");
    ToyBackend::run(scope, call);
  }
  // Of the last call.
  [[nodiscard]] std::int64_t step() const { return step_; }

 private:
  Countdown countdown_;
  std::int64_t step_ = 0;  // of the compute lane's thread
};

class FailingOptimizer final : public optim::Optimizer {
 public:
  explicit FailingOptimizer(int calls) : countdown_(calls) {}
  [[nodiscard]] optim::WeightFormat weight_format() const override { return adamw_->weight_format(); }
  [[nodiscard]] std::vector<std::uint64_t> state_bytes() const override { return adamw_->state_bytes(); }
  [[nodiscard]] bool update(const optim::StepScalars& scalars, const optim::UpdateChunk& chunk) const override {
    countdown_.tick("the optimizer fails");
    return adamw_->update(scalars, chunk);
  }
  void restore_weight(const optim::UpdateChunk& chunk) const override { adamw_->restore_weight(chunk); }

 private:
  std::unique_ptr<optim::Optimizer> adamw_ = optim::make_optimizer({});
  Countdown countdown_;
};

class FailingCommitter final : public Committer {
 public:
  explicit FailingCommitter(int calls) : countdown_(calls) {}
  void commit(std::int64_t, const StepCounters&, int) override { countdown_.tick("the committer fails"); }

 private:
  Countdown countdown_;
};

// No file may grow or be written beyond its first byte.
class NoMoreWrites {
 public:
  NoMoreWrites() {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = ::signal(SIGXFSZ, SIG_IGN);
    const rlimit none{0, before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &none), 0);
  }
  ~NoMoreWrites() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }
  NoMoreWrites(const NoMoreWrites&) = delete;
  NoMoreWrites& operator=(const NoMoreWrites&) = delete;

 private:
  rlimit before_{};
  sighandler_t handler_ = SIG_DFL;
};

struct Thrown {
  std::string message;
  std::error_code code;
};

Thrown thrown_by(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return {error.what(), error.code()};
  } catch (const std::exception& error) {
    return {error.what(), {}};
  }
  return {};
}

// Two steps in flight, until something is thrown.
Thrown train_until_failure(Rig& rig) {
  return thrown_by([&] {
    const Started* before = &rig.train();
    for (int i = 0; i < 20; ++i) {
      const Started* now = &rig.train();
      rig.executor().wait_results(before->ticket);
      before = now;
    }
  });
}

void expect_everything_throws(Rig& rig, const std::string& message) {
  const Executor::Ticket last = rig.started().back().ticket;
  EXPECT_EQ(thrown_by([&] { rig.train(); }).message, message);
  EXPECT_EQ(thrown_by([&] { rig.validate(); }).message, message);
  EXPECT_EQ(thrown_by([&] { rig.executor().finish(); }).message, message);
  if (last < 0) return;
  EXPECT_EQ(thrown_by([&] { rig.executor().wait_results(last); }).message, message);
  EXPECT_EQ(thrown_by([&] { rig.executor().wait_end(last); }).message, message);
}

struct Surroundings {
  bool late_device = false;
  io::EngineChoice engine = io::EngineChoice::threads;
};

std::string name_of(const testing::TestParamInfo<Surroundings>& info) {
  return std::string(info.param.late_device ? "LateDevice" : "CpuDevice") +
         (info.param.engine == io::EngineChoice::threads ? "Threads" : "Automatic");
}

class FailureTest : public testing::TestWithParam<Surroundings> {
 protected:
  FailureTest() {
    setup_.engine = GetParam().engine;
    if (GetParam().late_device) {
      device_ = std::make_unique<device::AsyncDevice>(device::AsyncOptions{.seed = 5});
    } else {
      device_ = device::make_cpu_device();
    }
  }

  // The failure that training runs into has `part` in its message, is every later call's, and lets the executor end.
  Thrown expect_failure(Rig& rig, const std::string& part) {
    const Thrown failure = train_until_failure(rig);
    EXPECT_THAT(failure.message, HasSubstr(part));
    expect_everything_throws(rig, failure.message);
    rig.drop_executor();
    return failure;
  }

  // Trains a little and lets everything come to rest, so that weights are read before they are written again.
  static void train_and_rest(Rig& rig) {
    rig.load();
    for (int i = 0; i < 2; ++i) rig.train();
    rig.finish();
  }

  test::Setup setup_ = committing_setup();
  std::unique_ptr<device::Device> device_;
};

TEST_P(FailureTest, OfAUnitSurfaces) {
  for (const int calls : {1, 7, 40}) {
    SCOPED_TRACE(calls);
    FailingBackend backend(setup_.problem, calls);
    Rig rig(setup_, *device_, &backend);
    rig.load();
    expect_failure(rig, "the unit fails");
    if (GetParam().late_device) device_ = std::make_unique<device::AsyncDevice>();  // its failure stays
  }
}

TEST_P(FailureTest, OfTheOptimizerSurfaces) {
  for (const int calls : {1, 5, 30}) {
    SCOPED_TRACE(calls);
    const FailingOptimizer optimizer(calls);
    Rig rig(setup_, *device_, nullptr, &optimizer);
    rig.load();
    expect_failure(rig, "the optimizer fails");
  }
}

TEST_P(FailureTest, OfTheCommitterSurfaces) {
  for (const int calls : {1, 3}) {
    SCOPED_TRACE(calls);
    FailingCommitter committer(calls);
    Rig rig(setup_, *device_, nullptr, nullptr, &committer);
    rig.load();
    expect_failure(rig, "the committer fails");
  }
}

TEST_P(FailureTest, OfAReadNamesWhatAndWhere) {
  Rig rig(setup_, *device_);
  train_and_rest(rig);
  ASSERT_EQ(::truncate(rig.file_of(store::Kind::weights).c_str(), 0), 0);
  const Thrown failure = expect_failure(rig, "cannot read weights of object ");
  EXPECT_THAT(failure.message, HasSubstr("bytes at offset "));
  EXPECT_THAT(failure.message, HasSubstr(rig.file_of(store::Kind::weights)));
}

TEST_P(FailureTest, OfAWriteNamesWhatAndWhereAndTheSystemsReason) {
  Rig rig(setup_, *device_);
  train_and_rest(rig);
  Thrown failure;
  {
    const NoMoreWrites full;
    failure = train_until_failure(rig);
  }
  EXPECT_THAT(failure.message, HasSubstr("cannot write "));
  EXPECT_THAT(failure.message, HasSubstr(" of object "));
  EXPECT_THAT(failure.message, HasSubstr(rig.folder()));
  EXPECT_EQ(failure.code, std::error_code(EFBIG, std::system_category()));
  expect_everything_throws(rig, failure.message);
  rig.drop_executor();
}

// In every page, so that both slots have it.
void flip_bits(const std::string& path) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(0, std::ios::end);
  const std::streamoff size = file.tellg();
  for (std::streamoff at = 1234; at < size; at += 4096) {
    file.seekg(at);
    const int byte = file.get();
    file.seekp(at);
    file.put(static_cast<char>(byte ^ 4));
  }
  file.flush();
  ASSERT_TRUE(file) << path;
}

TEST_P(FailureTest, OfAChecksumNamesWhatAndWhere) {
  Rig rig(setup_, *device_);
  train_and_rest(rig);
  const std::string path = rig.file_of(store::Kind::moment1);
  flip_bits(path);
  const Thrown failure = expect_failure(rig, "cannot use what was read of moment1 of object ");
  EXPECT_THAT(failure.message, HasSubstr("checksum"));
  EXPECT_THAT(failure.message, HasSubstr("bytes at offset "));
  EXPECT_THAT(failure.message, HasSubstr(path));
}

TEST_P(FailureTest, LeavesTheCommitsBeforeIt) {
  FailingBackend backend(setup_.problem, 60);
  Rig rig(setup_, *device_, &backend);
  rig.load();
  expect_failure(rig, "the unit fails");
  std::int64_t committed = 0;
  for (const ReadingCommitter::Commit& commit : rig.committer().take()) {
    EXPECT_EQ(commit.step, committed + 1);
    committed = commit.step;
  }
  EXPECT_GT(committed, 0);
  EXPECT_LT(committed, backend.step());
}

TEST_P(FailureTest, BeforeTheFirstStepSurfacesToo) {
  setup_.problem.weights = {0.0, 1.0};
  setup_.pools = schedule::minimum_pools(setup_.problem);
  Rig rig(setup_, *device_);
  ASSERT_EQ(::truncate(rig.file_of(store::Kind::weights).c_str(), 0), 0);
  const Thrown failure = thrown_by([&] { rig.executor().wait_end(rig.load().ticket); });
  EXPECT_THAT(failure.message, HasSubstr("cannot read weights of object "));
  expect_everything_throws(rig, failure.message);
}

INSTANTIATE_TEST_SUITE_P(Everywhere, FailureTest,
                         testing::Values(Surroundings{false, io::EngineChoice::threads}, Surroundings{false, io::EngineChoice::automatic},
                                         Surroundings{true, io::EngineChoice::threads}, Surroundings{true, io::EngineChoice::automatic}),
                         name_of);

// A loss that is not finite is a result, not a failure of the lanes; the step is not committed, nor is any after it while none is finite.
class DivergingBackend final : public ToyBackend {
 public:
  DivergingBackend(const schedule::Problem& problem, std::int64_t step) : ToyBackend(problem), step_(step) {}
  void run(const device::ComputeScope& scope, const ComputeCall& call) override {
    ToyBackend::run(scope, call);
    if (call.op == schedule::Op::head && call.step >= step_) *scope.as<double>(call.loss) = std::nan("");
  }

 private:
  std::int64_t step_;
};

TEST(NonFiniteStep, IsNotCommitted) {
  const auto device = device::make_cpu_device();
  const auto setup = committing_setup();
  DivergingBackend backend(setup.problem, 3);
  Rig rig(setup, *device, &backend);
  rig.load();
  const Started* last = nullptr;
  for (int i = 0; i < 4; ++i) last = &rig.train();
  rig.executor().wait_results(last->ticket);
  EXPECT_TRUE(std::isnan(last->batch.losses[0]));
  rig.executor().wait_end(last->ticket);
  std::vector<std::int64_t> steps;
  for (const ReadingCommitter::Commit& commit : rig.committer().take()) steps.push_back(commit.step);
  EXPECT_THAT(steps, testing::ElementsAre(1, 2));
}

// Whoever made it, and whenever: nor is any step after it.
void expect_no_commit_of_an_unstorable_weight(const Setup& setup, device::Device& device) {
  SCOPED_TRACE(describe(setup));
  Rig rig(setup, device);
  rig.load();
  const Started* last = nullptr;
  for (int i = 0; i < 5; ++i) last = &rig.train();
  rig.executor().wait_end(last->ticket);
  EXPECT_GE(rig.executor().bad_weight(), 0);
  std::vector<std::int64_t> steps;
  for (const ReadingCommitter::Commit& commit : rig.committer().take()) steps.push_back(commit.step);
  EXPECT_THAT(steps, testing::ElementsAre(1, 2));
}

TEST(UnstorableWeight, IsNotCommitted) {
  for (const auto& [guard, delay] : {std::pair{schedule::Guard::none, 0.0}, std::pair{schedule::Guard::none, 0.4}, std::pair{schedule::Guard::none, 1.0},
                                     std::pair{schedule::Guard::deferred, 1.0}, std::pair{schedule::Guard::speculative, 0.0}}) {
    for (const double share : {0.0, 0.5, 1.0}) {
      auto setup = committing_setup();
      setup.problem.guard = guard;
      setup.problem.delay = delay;
      setup.problem.update_device = share;
      setup.pools = schedule::minimum_pools(setup.problem);
      setup.policy.learning_rate = [](std::int64_t updates) { return updates == 2 ? 1e300 : 0.01; };
      expect_no_commit_of_an_unstorable_weight(setup, *device::make_cpu_device());
      device::AsyncDevice late({.seed = 5});
      expect_no_commit_of_an_unstorable_weight(setup, late);
    }
  }
}

}  // namespace
}  // namespace gsnake::runtime::test
