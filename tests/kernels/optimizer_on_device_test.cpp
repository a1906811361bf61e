// What a step asks of the optimizer's kernels, against the CPU's, bit for bit: on the host build and on a GPU (place.h). Shapes and formats of all kinds are in
// square_sums_test.cpp and optimizer_update_test.cpp, on the host build.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/optimizer_update.h"
#include "kernels/place.h"
#include "kernels/square_sums.h"
#include "kernels/update_step.h"
#include "optim/formats.h"
#include "optim/norm.h"
#include "optim/optimizer.h"

namespace gsnake::kernels {
namespace {

constexpr std::int64_t kElements = 20 * kNormBlock;

std::vector<float> wide_numbers(std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(static_cast<std::size_t>(kElements));
  for (float& number : numbers) number = std::ldexp(normal(random), static_cast<int>(random() % 60) - 30);
  return numbers;
}

template <class T>
std::vector<T> to_host(const std::shared_ptr<std::byte>& device, std::size_t count) {
  std::vector<T> values(count);
  place::to_host(values.data(), device.get(), count * sizeof(T));
  return values;
}

template <class T>
void expect_bits(const std::vector<T>& got, const std::vector<T>& want, const char* what) {
  ASSERT_EQ(got.size(), want.size());
  EXPECT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(T)), 0) << what;
}

class OnDevice : public testing::Test {
 protected:
  void SetUp() override {
    if (const char* cause = place::why_not()) GTEST_SKIP() << cause;
  }
};

TEST_F(OnDevice, NormsHaveTheCpusBits) {
  std::vector<float> gradient = wide_numbers(3);
  for (const bool finite : {true, false}) {
    if (!finite) gradient[kNormBlock + 7] = std::numeric_limits<float>::infinity();
    std::vector<double> want(gradient.size() / kNormBlock);
    optim::square_sums(gradient, want);
    const auto device = place::on_device(gradient);
    place::in_each_order([&] {
      const auto partials = place::on_device(std::vector<double>(want.size(), -1.0));
      EXPECT_EQ(square_sums(reinterpret_cast<const float*>(device.get()), kElements, reinterpret_cast<double*>(partials.get()), nullptr, nullptr), cudaSuccess);
      const std::vector<double> got = to_host<double>(partials, want.size());
      expect_bits(got, want, "partials");
      EXPECT_EQ(std::isfinite(got[1]), finite);
    });
  }
}

TEST_F(OnDevice, AnUpdateHasTheCpusBits) {
  optim::OptimizerSpec spec;
  spec.rule = UpdateRule::adamw;
  spec.weights = Dtype::bf16;
  spec.moments = MomentFormat::fp32;
  const auto count = static_cast<std::size_t>(kElements);
  const std::vector<float> masters = wide_numbers(5);
  std::vector<std::uint16_t> weight(count);
  std::vector<std::int16_t> master(count);
  optim::split_master(masters, weight, master);
  std::vector<float> first(count);
  std::vector<float> second(count);
  std::vector<double> sums(count / kNormBlock);
  const auto device_weight = place::on_device(weight);
  const auto device_master = place::on_device(master);
  const auto device_first = place::on_device(first);
  const auto device_second = place::on_device(second);
  const auto device_sums = place::on_device(sums);
  const auto greatest = place::on_device(std::vector<std::uint32_t>(1));
  const std::vector<optim::DecayRun> runs{{0, 1000, true}, {1000, static_cast<std::uint64_t>(kElements), false}};
  const auto decaying = place::on_device(std::vector<DecayingRun>{{0, 1000}});
  const auto optimizer = optim::make_optimizer(spec);
  for (int step = 0; step < 3; ++step) {
    const std::vector<float> gradient = wide_numbers(static_cast<std::uint32_t>(20 + step));
    const optim::StepScalars scalars{1e-3 * (step + 1), step + 1, step == 1 ? 0.37F : 1.0F};
    optim::UpdateChunk chunk;
    chunk.weight = reinterpret_cast<std::byte*>(weight.data());
    chunk.master = reinterpret_cast<std::byte*>(master.data());
    chunk.states = {reinterpret_cast<std::byte*>(first.data()), reinterpret_cast<std::byte*>(second.data())};
    chunk.gradient = gradient.data();
    chunk.elements = count;
    chunk.runs = runs;
    chunk.partials = sums.data();
    EXPECT_TRUE(optimizer->update(scalars, chunk));

    const auto device_gradient = place::on_device(gradient);
    UpdateArrays arrays;
    arrays.weight = device_weight.get();
    arrays.master = device_master.get();
    arrays.first_moment = device_first.get();
    arrays.second_moment = device_second.get();
    arrays.gradient = reinterpret_cast<const float*>(device_gradient.get());
    arrays.elements = kElements;
    arrays.runs = reinterpret_cast<const DecayingRun*>(decaying.get());
    arrays.run_count = 1;
    arrays.partials = reinterpret_cast<double*>(device_sums.get());
    arrays.greatest = reinterpret_cast<std::uint32_t*>(greatest.get());
    const UpdateStep constants = as_kernels_have_it(optim::make_rule_step(spec.rule, spec, scalars));
    EXPECT_EQ(update({spec.rule, spec.weights, spec.moments}, constants, arrays, nullptr), cudaSuccess);
    expect_bits(to_host<std::uint16_t>(device_weight, count), weight, "weights");
    expect_bits(to_host<std::int16_t>(device_master, count), master, "the masters' rest");
    expect_bits(to_host<float>(device_first, count), first, "first moments");
    expect_bits(to_host<float>(device_second, count), second, "second moments");
    expect_bits(to_host<double>(device_sums, sums.size()), sums, "partials");
  }
  EXPECT_LT(to_host<std::uint32_t>(greatest, 1).front(), unstorable_magnitude(spec.weights));
}

}  // namespace
}  // namespace gsnake::kernels
