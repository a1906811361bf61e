// The host's emulation of a GPU itself: what it orders, what it finds, and how a launch reaches a stream. The kernels here are written in its own functions.
#include "kernels/host/simt.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

#include "kernels/split_master.h"
#include "support.h"

namespace gsnake::simt {
namespace {

// Runs `body` for each thread of a grid, as a launch of a kernel would.
template <class Body>
void run(unsigned blocks, unsigned threads, Body body) {
  const Shape shape{dim3(blocks), dim3(threads), 256};
  run_grid(shape, [](void* b) { (*static_cast<Body*>(b))(); }, &body);
}

unsigned global_thread() { return block_index().x * block_shape().x + thread_index().x; }

constexpr char kTag = 0;

TEST(Simt, RunsEachThreadOnceInAnOrderThatTheSeedChanges) {
  std::set<std::vector<unsigned>> orders;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    set_seed(seed);
    std::vector<unsigned> order(192);
    std::size_t next = 0;
    run(3, 64, [seen = order.data(), turn = &next] { seen[__atomic_fetch_add(turn, 1, __ATOMIC_RELAXED)] = global_thread(); });
    EXPECT_EQ(next, 192U);
    EXPECT_EQ(std::set(order.begin(), order.end()).size(), 192U);
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 4U);
}

TEST(Simt, ABarrierSeparatesWhatIsWrittenFromWhatIsRead) {
  std::vector<unsigned> got(2 * 96);
  unsigned* const out = got.data();
  run(2, 96, [out] {
    auto* const shared = static_cast<unsigned*>(shared_memory(&kTag, 96 * sizeof(unsigned)));
    const unsigned t = thread_index().x;
    for (unsigned round = 0; round < 3; ++round) {
      shared[t] = t * 10 + round;
      barrier("a");
      out[global_thread()] = shared[95 - t];
      barrier("b");
    }
  });
  for (unsigned i = 0; i < 192; ++i) EXPECT_EQ(got[i], (95 - i % 96) * 10 + 2);
}

TEST(Simt, SharedMemoryIsTheBlocksOwnAndBeginsAsNaN) {
  std::vector<unsigned> got(4 * 32);
  unsigned* const out = got.data();
  run(4, 32, [out] {
    auto* const shared = static_cast<unsigned*>(dynamic_shared_memory());
    auto* const other = static_cast<unsigned*>(shared_memory(&kTag, 4));
    out[global_thread()] = shared[thread_index().x] & *other;
    barrier("a");
    shared[thread_index().x] = 7;
    if (thread_index().x == 0) *other = 7;
  });
  for (const unsigned value : got) EXPECT_EQ(value, 0xffffffffU);
}

TEST(Simt, AShuffleGivesEachLaneAnothersValue) {
  std::vector<double> got(64);
  double* const out = got.data();
  run(1, 64, [out] {
    const double mine = 1.5 * thread_index().x;
    double sum = mine;
    for (int distance = 16; distance > 0; distance /= 2) sum += exchange_value(sum, lane() ^ distance, "xor");
    out[thread_index().x] = sum + exchange_value(mine, lane() + 16, "down");
  });
  for (unsigned i = 0; i < 64; ++i) {
    const double warp = 1.5 * (i < 32 ? 31 * 16 : 31 * 16 + 32 * 32);
    EXPECT_EQ(got[i], warp + 1.5 * (i % 32 < 16 ? i + 16 : i));
  }
}

TEST(SimtDeathTest, ABarrierThatSomeThreadsMissEndsTheProgram) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // ThreadSanitizer sees nothing after a fork
  EXPECT_DEATH(run(1, 64, [] {
                 if (thread_index().x != 5) barrier("here");
               }),
               "__syncthreads\\(\\) that a part of the block does not reach, at here");
}

TEST(SimtDeathTest, AShuffleThatSomeLanesMissEndsTheProgram) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // ThreadSanitizer sees nothing after a fork
  EXPECT_DEATH(run(1, 32, [] {
                 if (thread_index().x < 31) exchange_value(1, 0, "here");
               }),
               "a shuffle that a part of the warp does not reach, at here");
}

#if defined(__SANITIZE_THREAD__)
volatile int shared_word = 0;

TEST(SimtDeathTest, ThreadSanitizerSeesARaceWithinABlock) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // ThreadSanitizer sees nothing after a fork
  EXPECT_DEATH(run(1, 32, [] { shared_word = static_cast<int>(thread_index().x); }), "data race");
}
TEST(SimtDeathTest, ThreadSanitizerSeesARaceBetweenBlocks) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // ThreadSanitizer sees nothing after a fork
  EXPECT_DEATH(run(2, 32, [] {
                 barrier("a");
                 if (thread_index().x == 0) shared_word = static_cast<int>(block_index().x);
               }),
               "data race");
}
#endif

// A stream of its own: launches wait until somebody runs them; addresses are those of a device whose memory is seen elsewhere.
struct FakeStream {
  static inline std::vector<std::pair<void (*)(void*), void*>> waiting;
  static inline cudaError_t answer = cudaSuccess;
  static inline std::ptrdiff_t distance = 0;

  static cudaError_t submit(cudaStream_t /*stream*/, void (*run)(void*), void* argument) {
    if (answer == cudaSuccess) waiting.emplace_back(run, argument);
    return answer;
  }
  static const void* translate(const void* pointer) { return static_cast<const char*>(pointer) + distance; }
  static void run_all() {
    std::thread([] {
      for (const auto& [run, argument] : waiting) run(argument);
    }).join();
    waiting.clear();
  }
};

TEST(SimtSubmit, ALaunchWaitsForItsStreamAndSeesTranslatedAddresses) {
  std::vector<float> memory(600, 0.0F);  // the first half is the device as the program sees it, the second as it is
  for (int i = 0; i < 100; ++i) memory[300 + i] = static_cast<float>(i) / 3;
  FakeStream::distance = 300 * sizeof(float);
  set_submit(FakeStream::submit, FakeStream::translate);
  auto* const weight = reinterpret_cast<std::uint16_t*>(memory.data() + 100);
  auto* const remainder = reinterpret_cast<std::int16_t*>(memory.data() + 150);
  EXPECT_EQ(kernels::split_master(memory.data(), weight, remainder, 100, nullptr), cudaSuccess);
  EXPECT_EQ(kernels::join_master(weight, remainder, memory.data() + 200, 100, nullptr), cudaSuccess);
  EXPECT_EQ(memory[300 + 250], 0.0F) << "ran before its turn";
  EXPECT_EQ(FakeStream::waiting.size(), 2U);
  FakeStream::run_all();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(memory[500 + i], memory[300 + i]);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(memory[i], 0.0F) << "an address was not translated";
  set_submit(nullptr, nullptr);
}

TEST(SimtSubmit, ALaunchThatItsStreamRefusesReturnsTheError) {
  set_submit(FakeStream::submit, nullptr);
  FakeStream::answer = cudaErrorLaunchFailure;
  float master = 1;
  std::uint16_t weight = 0;
  EXPECT_EQ(kernels::to_fp16(&master, &weight, 1, nullptr), cudaErrorLaunchFailure);
  FakeStream::answer = cudaSuccess;
  set_submit(nullptr, nullptr);
  EXPECT_EQ(weight, 0);
}

TEST(Simt, LaunchesOfSeveralThreadsRunSideBySide) {
  std::vector<std::thread> threads;
  std::vector<int> sums(3);
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&sums, i] {
      for (int round = 0; round < 20; ++round) {
        int* const sum = &sums[i];
        run(2, 64, [sum] {
          auto* const shared = static_cast<int*>(shared_memory(&kTag, sizeof(int)));
          if (thread_index().x == 0) *shared = 1;
          barrier("a");
          if (thread_index().x == 63) __atomic_fetch_add(sum, *shared, __ATOMIC_RELAXED);
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int sum : sums) EXPECT_EQ(sum, 40);
}

}  // namespace
}  // namespace gsnake::simt
