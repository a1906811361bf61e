// What this project computes by itself on the CPU takes all of LibTorch's threads.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <ctime>
#include <mutex>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include "core/threads.h"
#include "torch/packed_ops.h"
#include "torch/parallel.h"
#include "torch/process.h"

namespace gsnake::backend {
namespace {

class Parallel : public testing::Test {
 protected:
  void SetUp() override {
    if (!loops_have_threads()) GTEST_SKIP() << "this build dequantises on one thread: src/torch/CMakeLists.txt has the causes";
  }
};

using Ranges = std::set<std::pair<std::int64_t, std::int64_t>>;

Ranges ranges_of(std::int64_t count, std::int64_t grain) {
  std::mutex mutex;
  Ranges ranges;
  parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
    const std::lock_guard lock(mutex);
    ranges.emplace(begin, end);
  });
  return ranges;
}

double seconds_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// With so many of LibTorch's threads, on a thread that has not computed before.
template <typename Work>
auto with_threads(int threads, const Work& work) {
  const auto settings = ProcessSettings::use(threads);
  return core::on_own_thread(work);
}

TEST_F(Parallel, RangesMakeUpTheWholeOnAsManyThreadsAsThereAre) {
  with_threads(3, [] {
    EXPECT_EQ(ranges_of(0, 1), Ranges());
    EXPECT_EQ(ranges_of(8, 8), (Ranges{{0, 8}})) << "one grain";
    EXPECT_EQ(ranges_of(10, 8), (Ranges{{0, 5}, {5, 10}})) << "two";
    EXPECT_EQ(ranges_of(31, 1), (Ranges{{0, 11}, {11, 22}, {22, 31}}));
  });
  with_threads(1, [] {
    EXPECT_EQ(ranges_of(31, 1), (Ranges{{0, 31}}));
  });
}

TEST_F(Parallel, WhatOneOfThemThrowsIsThrown) {
  with_threads(2, [] {
    EXPECT_THROW(parallel_for(2, 1, [](std::int64_t begin, std::int64_t) {
      if (begin == 1) throw std::runtime_error("the second");
    }), std::runtime_error);
  });
}

// By the processor's time, so that other load does not matter: the caller's is half of all.
TEST_F(Parallel, PackedWeightsAreDequantisedOnAllThreads) {
  constexpr std::int64_t kRows = 4096;
  constexpr std::int64_t kColumns = 4096;
  const std::vector<std::byte> packed(quant::packed_bytes(quant::Format::nf4, kRows * kColumns));
  std::vector<float> out(kRows * kColumns);
  const PackedTensor tensor{quant::Format::nf4, packed.data(), kRows, kColumns};
  const double own = with_threads(2, [&] {
    const auto dequantise = [&] { cpu_packed_ops().dequantise(tensor, 0, tensor.elements(), torch::kFloat32, reinterpret_cast<std::byte*>(out.data())); };
    dequantise();
    const double all = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    const double caller = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < 10; ++i) dequantise();
    return (seconds_of(CLOCK_THREAD_CPUTIME_ID) - caller) / (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - all);
  });
  EXPECT_LT(own, 0.8);
}

}  // namespace
}  // namespace gsnake::backend
