// The tests on the fake GPU see what they are there to see: with one edge of a run's order taken away, bits differ or misuse is reported.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <filesystem>

#include "fake/control.h"
#include "train/cuda_run.h"
#include "train/mutant_device.h"

namespace gsnake::test {
namespace {

constexpr Mutation::Dropped kAll{true, true, true, true};
constexpr Mutation::Dropped kNone{};

// By StreamKind: compute, h2d, d2h, collective.
const std::array kMutations{
    Mutation{"compute does not wait for its weights", {kAll, kNone, kNone, kNone}},
    Mutation{"a slot is filled while it is in use", {kNone, kAll, kNone, kNone}},
    Mutation{"gradients leave before they are there", {kNone, kNone, kAll, kNone}},
    Mutation{"the host reads early", {}, true},
    Mutation{"a copy's event is recorded before the copy", {}, false, true},
};

// Trains with a mutation, which fails where training differs from training in memory, or ends the process.
void train_with(const Mutation& mutation, std::uint64_t seed) {
  const TempFolder folder;
  Config config = cuda_config(kRunSettings[0], small_llama(), Dtype::fp32, folder);
  config.run.durability = Durability::off;
  const std::vector<Batch> batches = random_batches(3, kRunMicroBatches, config.model.vocab);
  const WrapDevice wrap = [&](std::unique_ptr<device::Device> inner) { return mutated(std::move(inner), mutation); };
  const Outcome expected = train_in_memory(config, batches, reference::Order::snake);
  expect_equal(train_streamed(config, batches, on_fake_gpu(seed, wrap)), expected);
  EXPECT_EQ(fake_cuda_reports(), 0);
}

// Of CudaMutations alone, which runs it in a process of its own.
TEST(CudaMutation, DISABLED_Run) {
  const std::size_t mutation = std::stoul(std::getenv("GSNAKE_MUTATION"));
  train_with(mutation < kMutations.size() ? kMutations[mutation] : Mutation{}, std::stoull(std::getenv("GSNAKE_MUTATION_SEED")));
}

bool passes(std::size_t mutation, int seed) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  const std::string line = "GSNAKE_MUTATION=" + std::to_string(mutation) + " GSNAKE_MUTATION_SEED=" + std::to_string(seed) + " timeout 120 '" + program +
                           "' --gtest_also_run_disabled_tests --gtest_filter=CudaMutation.DISABLED_Run > /dev/null 2>&1";
  return std::system(line.c_str()) == 0;
}

class CudaMutations : public testing::TestWithParam<std::size_t> {};

TEST(CudaMutation, NoneIsNoticedWhereThereIsNone) { EXPECT_TRUE(passes(kMutations.size(), 1)); }

TEST_P(CudaMutations, IsCaught) {
  for (int seed = 1; seed <= 12; ++seed) {
    if (!passes(GetParam(), seed)) return;
  }
  FAIL() << kMutations.at(GetParam()).name << ": not caught with any of 12 seeds";
}

INSTANTIATE_TEST_SUITE_P(One, CudaMutations, testing::Range(std::size_t{0}, kMutations.size()), [](const auto& test) {
  std::string name = kMutations.at(test.param).name;
  for (char& c : name) c = c == ' ' || c == '\'' ? '_' : c;
  return name;
});

}  // namespace
}  // namespace gsnake::test
