// Against the CPU's optimizer itself, bit for bit.
#include "kernels/optimizer_update.h"

#include <limits>

#include "kernels/square_sums.h"
#include "optim/optimizer.h"
#include "support.h"
#include "update_step.h"

namespace gsnake::kernels {
namespace {

using Rules = std::tuple<UpdateRule, Dtype, MomentFormat>;
class OptimizerUpdate : public testing::TestWithParam<Rules> {
 protected:
  [[nodiscard]] optim::OptimizerSpec spec() const {
    optim::OptimizerSpec spec;
    std::tie(spec.rule, spec.weights, spec.moments) = GetParam();
    return spec;
  }
};

// All arrays of a chunk, for either processor.
struct Chunk {
  Chunk(const optim::OptimizerSpec& spec, std::int64_t count, std::int64_t offset)
      : weight(count * static_cast<std::int64_t>(optim::weight_bytes(spec.weights)), offset * static_cast<std::int64_t>(optim::weight_bytes(spec.weights))),
        master(count * static_cast<std::int64_t>(optim::master_bytes(spec.weights)), offset * static_cast<std::int64_t>(optim::master_bytes(spec.weights))),
        first(count * static_cast<std::int64_t>(optim::moment_bytes(spec.moments)), offset * static_cast<std::int64_t>(optim::moment_bytes(spec.moments))),
        second(count * static_cast<std::int64_t>(optim::moment_bytes(spec.moments)), offset * static_cast<std::int64_t>(optim::moment_bytes(spec.moments))),
        partials(count / kernels::kNormBlock) {}

  void begin(const optim::OptimizerSpec& spec, const std::vector<float>& masters) {
    if (masters.empty()) return;
    const auto halves = [&] { return std::span(reinterpret_cast<std::uint16_t*>(weight.data()), masters.size()); };
    if (spec.weights == Dtype::fp32) std::memcpy(weight.data(), masters.data(), masters.size() * sizeof(float));
    if (spec.weights == Dtype::bf16) optim::split_master(masters, halves(), {reinterpret_cast<std::int16_t*>(master.data()), masters.size()});
    if (spec.weights == Dtype::fp16) {
      optim::to_fp16(masters, halves());
      std::memcpy(master.data(), masters.data(), masters.size() * sizeof(float));
    }
  }
  [[nodiscard]] std::vector<unsigned char> bytes() const {
    std::vector<unsigned char> all;
    for (const Buffer<unsigned char>* part : {&weight, &master, &first, &second}) {
      const auto bytes = part->bytes();
      all.insert(all.end(), bytes.begin(), bytes.end());
    }
    const auto sums = partials.bytes();
    all.insert(all.end(), sums.begin(), sums.end());
    return all;
  }

  Buffer<unsigned char> weight, master, first, second;
  Buffer<double> partials;
};

constexpr optim::DecayRun kRuns[] = {{0, 5, true}, {9, 40, false}, {40, 1033, true}, {1033, 1100, true}, {1500, 4000, false}, {4000, 1000000, true}};
constexpr DecayingRun kDecaying[] = {{0, 5}, {40, 1033}, {1033, 1100}, {4000, 1000000}};

struct Case {
  std::int64_t count;
  std::int64_t offset;
  std::int64_t first_element;
  bool partials;
};

struct Data {
  std::vector<float> masters;
  std::vector<std::vector<float>> gradients;  // of each step
};

Data make_data(const Case& c) {
  std::mt19937 random(c.count + 17);
  std::normal_distribution<float> normal;
  Data data;
  for (std::int64_t i = 0; i < c.count; ++i) data.masters.push_back(normal(random));
  for (int step = 0; step < 3; ++step) {
    data.gradients.emplace_back();
    // Wide, with zeros, so that moments are denormal as well.
    for (std::int64_t i = 0; i < c.count; ++i) data.gradients.back().push_back(random() % 9 == 0 ? 0.0F : std::ldexp(normal(random), static_cast<int>(random() % 50) - 40));
  }
  return data;
}

optim::StepScalars scalars_of(int step) { return {1e-3 * (step + 1), step + 1, step == 1 ? 0.37F : 1.0F}; }

bool run_on_cpu(const optim::OptimizerSpec& spec, const Case& c, const Data& data, Chunk& chunk) {
  const auto optimizer = optim::make_optimizer(spec);
  const bool second = optim::state_count(spec.rule) == 2;
  bool storable = true;
  for (int step = 0; step < 3; ++step) {
    optim::UpdateChunk update;
    update.weight = reinterpret_cast<std::byte*>(chunk.weight.data());
    update.master = spec.weights == Dtype::fp32 ? nullptr : reinterpret_cast<std::byte*>(chunk.master.data());
    update.states[0] = reinterpret_cast<std::byte*>(chunk.first.data());
    if (second) update.states[1] = reinterpret_cast<std::byte*>(chunk.second.data());
    update.gradient = data.gradients[step].data();
    update.elements = static_cast<std::uint64_t>(c.count);
    update.first_element = static_cast<std::uint64_t>(c.first_element);
    update.runs = kRuns;
    if (c.partials) update.partials = chunk.partials.data();
    storable = optimizer->update(scalars_of(step), update) && storable;
  }
  return storable;
}

bool run_kernel(const optim::OptimizerSpec& spec, const Case& c, const Data& data, Chunk& chunk) {
  const bool second = optim::state_count(spec.rule) == 2;
  bool storable = true;
  for (int step = 0; step < 3; ++step) {
    Buffer<float> gradient(c.count, c.offset);
    std::copy_n(data.gradients[step].data(), c.count, gradient.data());
    std::uint32_t greatest = 0;
    UpdateArrays arrays;
    arrays.weight = chunk.weight.data();
    arrays.master = spec.weights == Dtype::fp32 ? nullptr : chunk.master.data();
    arrays.first_moment = chunk.first.data();
    if (second) arrays.second_moment = chunk.second.data();
    arrays.gradient = gradient.data();
    arrays.elements = c.count;
    arrays.first_element = c.first_element;
    arrays.runs = kDecaying;
    arrays.run_count = std::size(kDecaying);
    if (c.partials) arrays.partials = chunk.partials.data();
    arrays.greatest = &greatest;
    const UpdateStep constants = as_kernels_have_it(optim::make_rule_step(spec.rule, spec, scalars_of(step)));
    EXPECT_EQ(update({spec.rule, spec.weights, spec.moments}, constants, arrays, nullptr), cudaSuccess);
    storable = greatest < unstorable_magnitude(spec.weights) && storable;
  }
  return storable;
}

void expect_equal(const optim::OptimizerSpec& spec, const Case& c) {
  SCOPED_TRACE(std::to_string(c.count) + " elements from " + std::to_string(c.first_element) + ", offset " + std::to_string(c.offset));
  const Data data = make_data(c);
  Chunk want(spec, c.count, 0);
  want.begin(spec, data.masters);
  const bool want_storable = run_on_cpu(spec, c, data, want);
  expect_same_in_every_order([&] {
    Chunk got(spec, c.count, c.offset);
    got.begin(spec, data.masters);
    EXPECT_EQ(run_kernel(spec, c, data, got), want_storable);
    EXPECT_TRUE(got.bytes() == want.bytes());
    return got.bytes();
  });
}

TEST_P(OptimizerUpdate, HasTheBitsOfTheCpu) {
  for (const Case& c : {Case{0, 0, 0, false}, Case{1, 0, 3, false}, Case{37, 1, 0, false}, Case{kThreadSanitizer ? 1300 : 4999, 0, 1, false}}) expect_equal(spec(), c);
  expect_equal(spec(), {kThreadSanitizer ? 1030 : 5003, 3, 30, false});
}

TEST_P(OptimizerUpdate, SumsTheGradientsSquaresInTheSamePass) {
  expect_equal(spec(), {2048, 0, 0, true});
  expect_equal(spec(), {kThreadSanitizer ? 4096 : 3 * 2048, 1, 2048, true});
}

TEST_P(OptimizerUpdate, ShowsAMasterThatDoesNotGoIntoItsFormat) {
  const Case c{500, 0, 0, false};
  Data data = make_data(c);
  for (const bool too_large : {false, true}) {
    if (too_large) data.masters[377] = spec().weights == Dtype::fp32 ? std::numeric_limits<float>::infinity() : spec().weights == Dtype::bf16 ? -0x1.ff8p127F : 66000.0F;
    Chunk on_cpu(spec(), c.count, 0);
    on_cpu.begin(spec(), data.masters);
    Chunk chunk(spec(), c.count, 0);
    chunk.begin(spec(), data.masters);
    EXPECT_EQ(run_on_cpu(spec(), c, data, on_cpu), !too_large);
    EXPECT_EQ(run_kernel(spec(), c, data, chunk), !too_large);
  }
}

TEST_P(OptimizerUpdate, RefusesAChunkThatLacksAnArray) {
  UpdateArrays arrays;
  arrays.elements = 1;
  const auto [rule, weights, moments] = GetParam();
  EXPECT_EQ(update({rule, weights, moments}, {}, arrays, nullptr), cudaErrorInvalidValue);
}

INSTANTIATE_TEST_SUITE_P(Rules, OptimizerUpdate,
                         testing::Combine(testing::Values(UpdateRule::adamw, UpdateRule::adam, UpdateRule::lion, UpdateRule::sgd), testing::ValuesIn(kDtypes),
                                          testing::Values(MomentFormat::fp32, MomentFormat::bf16)),
                         [](const auto& rules) {
                           return std::string(word_of(std::get<0>(rules.param))) + "_" + word_of(std::get<1>(rules.param)) + "_" + word_of(std::get<2>(rules.param));
                         });

}  // namespace
}  // namespace gsnake::kernels
