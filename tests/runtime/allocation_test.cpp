// A step allocates nothing: whatever a run needs it has before its first step.
#include <execinfo.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdlib>

#include "core/threads.h"
#include "runtime/rig.h"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

// glibc's own functions, behind those that this program puts in their place. operator new comes here as well.
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* block, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);
}

namespace {

// Of all threads, while `counting`.
std::atomic<bool> counting{false};
std::atomic<std::size_t> allocations{0};

struct Place {
  std::array<void*, 16> frames{};
  int depth = 0;
};
std::array<Place, 4> places;  // of the first ones

void count() {
  if (!counting.load(std::memory_order_acquire)) return;
  const std::size_t i = allocations.fetch_add(1);
  if (i < places.size()) places[i].depth = ::backtrace(places[i].frames.data(), static_cast<int>(places[i].frames.size()));
}

}  // namespace

extern "C" {
void* malloc(std::size_t bytes) {
  count();
  return __libc_malloc(bytes);
}
void* calloc(std::size_t number, std::size_t bytes) {
  count();
  return __libc_calloc(number, bytes);
}
void* realloc(void* block, std::size_t bytes) {
  count();
  return __libc_realloc(block, bytes);
}
void* memalign(std::size_t alignment, std::size_t bytes) {
  count();
  return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  count();
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** block, std::size_t alignment, std::size_t bytes) {
  count();
  *block = __libc_memalign(alignment, bytes);
  return *block == nullptr ? 12 : 0;  // ENOMEM
}
}

namespace gsnake::runtime::test {
namespace {

std::string places_text() {
  std::string text;
  for (std::size_t i = 0; i < std::min(allocations.load(), places.size()); ++i) {
    char** names = ::backtrace_symbols(places[i].frames.data(), places[i].depth);
    for (int k = 0; names != nullptr && k < places[i].depth; ++k) text += std::string(names[k]) + "\n";
    std::free(names);
    text += "\n";
  }
  return text;
}

class QuietCommitter final : public Committer {
 public:
  void commit(std::int64_t, const StepCounters&, int) override {}
};

struct Step {
  Step(const schedule::Problem& problem, std::int64_t number)
      : tokens(static_cast<std::size_t>(problem.micro_batches * kTokens), 1) {
    batch.step = number;
    batch.inputs = batch.labels = tokens;
    batch.losses.assign(static_cast<std::size_t>(problem.micro_batches), 0.0);
  }
  std::vector<std::int64_t> tokens;
  StepBatch batch;
};

// Steps from `first` to `last`, two in flight.
void train(Executor& executor, std::vector<std::unique_ptr<Step>>& steps, std::size_t first, std::size_t last) {
  Executor::Ticket before = -1;
  for (std::size_t i = first; i < last; ++i) {
    const Executor::Ticket ticket = executor.train(steps[i]->batch);
    if (before >= 0) executor.wait_results(before);
    before = ticket;
  }
  executor.wait_results(before);
  executor.wait_end(before);
}

void expect_no_allocation(const Setup& setup) {
  SCOPED_TRACE(describe(setup));
  const auto device = device::make_cpu_device();
  QuietCommitter committer;
  Rig rig(setup, *device, nullptr, nullptr, &committer);
  std::vector<std::unique_ptr<Step>> steps;
  for (int i = 1; i <= 10; ++i) steps.push_back(std::make_unique<Step>(setup.problem, i));
  rig.load();
  train(rig.executor(), steps, 0, 3);
  allocations = 0;
  counting.store(true, std::memory_order_release);
  train(rig.executor(), steps, 3, steps.size());
  counting.store(false, std::memory_order_release);
  EXPECT_EQ(allocations.load(), 0U) << places_text();
}

class AllocationTest : public testing::TestWithParam<io::EngineChoice> {
 protected:
  AllocationTest() {
    Place unused;
    ::backtrace(unused.frames.data(), 1);  // it loads a library at its first call
  }
};

TEST_P(AllocationTest, NoneInStepsThatAreCommitted) {
  auto setup = ssd_setup();
  setup.engine = GetParam();
  setup.slots = 2;
  setup.paths = 2;
  setup.problem.commits = true;
  expect_no_allocation(setup);
}

TEST_P(AllocationTest, NoneWhateverTheProblem) {
  for (std::uint64_t seed = 1; seed <= 30 && !HasFailure(); ++seed) {
    auto setup = seed % 2 == 0 ? random_table_setup(seed) : random_setup(seed);
    setup.engine = GetParam();
    expect_no_allocation(setup);
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, AllocationTest, testing::Values(io::EngineChoice::threads, io::EngineChoice::automatic),
                         [](const auto& one) { return one.param == io::EngineChoice::threads ? "Threads" : "Automatic"; });

TEST(AllocationCounter, CountsWhatOtherThreadsAllocate) {
  allocations = 0;
  counting = true;
  std::thread([] {
    std::vector<int> some(1000);
    some[7] = 1;
  }).join();
  counting = false;
  EXPECT_GT(allocations.load(), 0U);
}

}  // namespace
}  // namespace gsnake::runtime::test

#else

TEST(AllocationTest, NoneInSteps) { GTEST_SKIP() << "a sanitizer has taken the allocation functions"; }

#endif
