// Storage and compute dtypes of the compute backend.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>

#include "slots.h"

namespace gsnake::test {
namespace {

struct Case {
  const char* name;
  Dtypes dtypes;
};
void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }

class Backend : public testing::TestWithParam<Case> {
 protected:
  [[nodiscard]] Dtypes dtypes() const { return GetParam().dtypes; }
  [[nodiscard]] bool widens() const { return dtypes().storage != dtypes().compute; }
};

INSTANTIATE_TEST_SUITE_P(Dtypes, Backend,
                         testing::Values(Case{"Fp32", {}}, Case{"Bf16Widened", {torch::kBFloat16, torch::kFloat32}},
                                         Case{"Bf16Native", {torch::kBFloat16, torch::kBFloat16}},
                                         Case{"Fp16", {torch::kHalf, torch::kFloat32}}),
                         [](const auto& test) { return std::string(test.param.name); });

// The unit's output before it is rounded, computed with a graph as backward recomputes it.
torch::Tensor plain_output(Slots& slots, const Dtypes& dtypes, int unit, const torch::Tensor& input) {
  torch::nn::Module& module = *slots.model().kinds[static_cast<std::size_t>(slots.model().units[static_cast<std::size_t>(unit)])].module;
  const torch::Tensor wide = slots.weights[static_cast<std::size_t>(unit)].to(dtypes.compute);
  model::bind_parameters(module, model::views(wide.data_ptr(), slots.layout().flat(static_cast<std::size_t>(unit)), dtypes.compute));
  module.train();
  model::seed_unit(1, 1, static_cast<std::uint64_t>(unit), 0);
  if (unit == 0) return dynamic_cast<EmbeddingUnit&>(module).forward(slots.inputs[0]).detach();
  return dynamic_cast<Unit&>(module).forward(input.detach().to(dtypes.compute).requires_grad_()).detach();
}

TEST_P(Backend, AnOutputIsWhatBackwardRecomputesRoundedToTheStorageDtype) {
  Slots slots(dtypes());
  const torch::Tensor input = slots.hidden(5);
  for (const int unit : {0, 1}) {
    const torch::Tensor output = slots.forward(unit, input, 0, true);
    EXPECT_EQ(output.scalar_type(), dtypes().storage);
    const torch::Tensor expected = plain_output(slots, dtypes(), unit, input);
    EXPECT_TRUE(torch::equal(output, expected.to(dtypes().storage))) << "unit " << unit;
    EXPECT_EQ(torch::equal(output.to(dtypes().compute), expected), !widens()) << "unit " << unit;
  }
}

TEST_P(Backend, WideningOnceAVisitGivesTheBitsOfWideningEveryTime) {
  Slots once(dtypes());
  Slots always(dtypes());
  const auto run = [](Slots& slots, bool every_time) {
    std::vector<torch::Tensor> results;
    for (int m = 0; m < 2; ++m) results.push_back(slots.forward(0, {}, m, every_time || m == 0));
    for (int unit = 1; unit < kHead; ++unit) {
      for (int m = 0; m < 2; ++m) results.push_back(slots.forward(unit, results[results.size() - 2], m, every_time || m == 0));
    }
    const std::vector<torch::Tensor> last{results[4], results[5]};
    for (int m = 0; m < 2; ++m) results.push_back(slots.head(last[static_cast<std::size_t>(m)], m, every_time || m == 0));
    for (int m = 0; m < 2; ++m)
      results.push_back(slots.backward(2, results[2 + static_cast<std::size_t>(m)], results[6], m, every_time || m == 0));
    for (const torch::Tensor& gradient : slots.gradients) results.push_back(gradient);
    results.push_back(slots.tied_gradients);
    return results;
  };
  const auto of_once = run(once, false);
  const auto of_always = run(always, true);
  for (std::size_t i = 0; i < of_once.size(); ++i) EXPECT_TRUE(torch::equal(of_once[i], of_always[i])) << i;
  EXPECT_EQ(once.losses, always.losses);
}

TEST_P(Backend, UnitsThatTakeTurnsNeedNoVisitOfTheirOwn) {
  Slots slots(dtypes());
  const torch::Tensor input = slots.hidden(5);
  const torch::Tensor first = slots.forward(1, input, 0, true);
  const torch::Tensor second = slots.forward(2, input, 0, true);
  EXPECT_FALSE(torch::equal(first, second));
  slots.head(input, 0, true);
  EXPECT_TRUE(torch::equal(slots.forward(1, input, 0, false), first));
  EXPECT_TRUE(torch::equal(slots.forward(2, input, 0, false), second));
}

TEST_P(Backend, AVisitThatOpensSeesNewWeightsInTheSameSlot) {
  Slots slots(dtypes());
  const torch::Tensor input = slots.hidden(5);
  const torch::Tensor before = slots.forward(1, input, 0, true);
  slots.weights[1].copy_(slots.weights[2]);
  const torch::Tensor after = slots.forward(1, input, 0, true);
  EXPECT_FALSE(torch::equal(after, before));
  Slots fresh(dtypes());
  fresh.weights[1].copy_(fresh.weights[2]);
  EXPECT_TRUE(torch::equal(after, fresh.forward(1, input, 0, true)));
}

TEST_P(Backend, GradientsOfMicroBatchesAddUpInFp32) {
  const auto accumulate = [&](std::initializer_list<int> micro_batches, Slots& slots) {
    for (const int m : micro_batches) slots.backward(1, slots.hidden(5 + static_cast<std::uint64_t>(m)), slots.hidden(9), m, true);
    return slots.gradients[1];
  };
  Slots of_first(dtypes());
  Slots of_second(dtypes());
  Slots of_both(dtypes());
  const torch::Tensor sum = accumulate({0}, of_first) + accumulate({1}, of_second);
  EXPECT_TRUE(torch::equal(accumulate({0, 1}, of_both), sum));
  // In 16 bits the same sum would have lost digits.
  EXPECT_FALSE(torch::equal(sum.to(torch::kBFloat16).to(torch::kFloat32), sum));
}

// Everything that was in a slot in the forward pass is somewhere else in backward, and what was there is overwritten.
TEST_P(Backend, KeptActivationsGiveTheBitsOfRecomputationWhereverWeightsAreThen) {
  Slots recomputing(dtypes());
  Slots keeping(dtypes());
  std::vector<torch::Tensor> inputs{keeping.hidden(5), keeping.hidden(6)};
  const std::vector<torch::Tensor> inputs_then{inputs[0].clone(), inputs[1].clone()};
  for (const int unit : {1, 2}) {
    for (const int m : {0, 1}) {
      const auto i = static_cast<std::size_t>(m);
      EXPECT_TRUE(torch::equal(keeping.forward(unit, inputs[i], m, m == 0, true), recomputing.forward(unit, inputs_then[i], m, m == 0)));
    }
  }
  for (torch::Tensor& input : inputs) input.fill_(3.0);
  const std::vector<torch::Tensor> slots_then = keeping.weights;
  for (torch::Tensor& weights : keeping.weights) weights = weights.clone();
  for (torch::Tensor slot : slots_then) slot.fill_(7.0);
  for (const int unit : {2, 1}) {
    for (const int m : {1, 0}) {
      const torch::Tensor gradient = keeping.hidden(9 + static_cast<std::uint64_t>(m));
      EXPECT_TRUE(torch::equal(keeping.backward(unit, {}, gradient, m, m == 1), recomputing.backward(unit, inputs_then[static_cast<std::size_t>(m)], gradient, m, m == 1))) << "unit " << unit << ", micro-batch " << m;
    }
    EXPECT_TRUE(torch::equal(keeping.gradients[static_cast<std::size_t>(unit)], recomputing.gradients[static_cast<std::size_t>(unit)])) << "unit " << unit;
  }
  EXPECT_THROW(keeping.backward(1, {}, inputs[0], 0, true), std::logic_error) << "what was kept is used up";
}

TEST_P(Backend, APowerOfTwoScalesEveryGradientExactlyAndNoLoss) {
  constexpr float kScale = 64.0F;
  Slots plain(dtypes());
  Slots scaled(dtypes());
  const torch::Tensor input = plain.hidden(5);
  // Away from fp16's denormals, where scaling is not exact: that is what it is for.
  plain.loss_factor = scaled.loss_factor = 16.0F;
  const torch::Tensor gradient = plain.head(input, 0, true);
  const torch::Tensor scaled_gradient = scaled.head(input, 0, true, kScale);
  EXPECT_EQ(plain.losses, scaled.losses);
  if (dtypes().storage != torch::kHalf) {
    EXPECT_TRUE(torch::equal(scaled_gradient, gradient * kScale));
  }
  EXPECT_TRUE(torch::equal(scaled.gradients[kHead], plain.gradients[kHead] * kScale));
  EXPECT_TRUE(torch::equal(scaled.tied_gradients, plain.tied_gradients * kScale));
}

TEST(LossScale, KeepsHiddenGradientsThatFp16WouldLose) {
  Slots slots({torch::kHalf, torch::kFloat32});
  const torch::Tensor input = slots.hidden(5);
  slots.loss_factor = 1e-7F;
  const torch::Tensor lost = slots.head(input, 0, true);
  const torch::Tensor kept = slots.head(input, 0, true, 65536.0F);
  EXPECT_EQ(lost.abs().max().item<float>(), 0.0F);
  EXPECT_GT(kept.ne(0.0).sum().item<std::int64_t>(), kept.numel() * 9 / 10);
}

TEST(LossScale, TooLargeAGradientIsInfiniteInItsSlotAndShowsInTheWeightGradients) {
  Slots slots({torch::kHalf, torch::kFloat32});
  const torch::Tensor input = slots.hidden(5);
  const torch::Tensor gradient = slots.head(input, 0, true, 0x1p40F);
  EXPECT_FALSE(gradient.isfinite().all().item<bool>());
  slots.backward(2, input, gradient, 0, true);
  EXPECT_FALSE(slots.gradients[2].isfinite().all().item<bool>());
}

TEST(Backend, NativeAndWidenedBf16AgreeToBf16sRounding) {
  Slots native({torch::kBFloat16, torch::kBFloat16}, 0.0);
  Slots widened({torch::kBFloat16, torch::kFloat32}, 0.0);
  const torch::Tensor input = native.hidden(5);
  const auto distance = [](const torch::Tensor& a, const torch::Tensor& b) {
    return ((a.to(torch::kFloat32) - b.to(torch::kFloat32)).norm() / b.to(torch::kFloat32).norm()).item<double>();
  };
  EXPECT_LE(distance(native.forward(1, input, 0, true), widened.forward(1, input, 0, true)), 0.01);
  const torch::Tensor gradient = native.hidden(6);
  EXPECT_LE(distance(native.backward(1, input, gradient, 0, true), widened.backward(1, input, gradient, 0, true)), 0.02);
  EXPECT_LE(distance(native.gradients[1], widened.gradients[1]), 0.02);
}

constexpr std::uint64_t kEnough = 1ULL << 40;

// Of all units, the largest.
std::optional<std::uint64_t> rehearsed(Slots& slots, std::uint64_t most_bytes, const std::function<void()>& told = {}) {
  const backend::DryRun dry{true, kRows, kTokens, 7, most_bytes, told};
  std::uint64_t most = 0;
  for (std::size_t unit = 0; unit < slots.model().units.size(); ++unit) {
    const std::optional<std::uint64_t> peak = slots.backend().rehearse(slots.device(), dry, static_cast<int>(unit));
    if (!peak) return std::nullopt;
    most = std::max(most, *peak);
  }
  return most;
}

TEST_P(Backend, TheRehearsalCoversEveryCallAndConversion) {
  const backend::TorchAllocator allocator;
  Slots slots(dtypes());
  const std::uint64_t peak = rehearsed(slots, kEnough).value();
  EXPECT_GT(peak, 0U);
  slots.backend().cap_temporaries(peak);
  const torch::Tensor input = slots.hidden(5);
  const torch::Tensor gradient = slots.hidden(6);
  EXPECT_NO_THROW({
    slots.forward(0, {}, 0, true);
    slots.forward(1, input, 0, true);
    slots.head(input, 0, true);
    slots.backward(2, input, gradient, 1, true);
    slots.backward(0, {}, gradient, 1, true);
  });
  EXPECT_EQ(slots.backend().resident_bytes(), peak);
  EXPECT_EQ(slots.backend().outside_bytes(), 0U) << "of the bytes that the rehearsal asked for, every block has its own";
}

// Many passes lie in what is told by three, beside what every call takes.
TEST_P(Backend, WhatIsKeptLiesInTheRoomThatItsRehearsalTold) {
  const backend::TorchAllocator allocator;
  Slots slots(dtypes());
  const std::uint64_t peak = rehearsed(slots, kEnough).value();
  backend::DryRun dry{true, kRows, kTokens, 7, kEnough, {}, 3};
  const std::uint64_t each = slots.backend().rehearse_kept(slots.device(), dry, 1).value();
  EXPECT_GE(each, static_cast<std::uint64_t>(kRows * kTokens) * 8 * kHidden * c10::elementSize(dtypes().compute)) << "inputs of products alone take more";
  dry.most_bytes = 2 * each;
  EXPECT_EQ(slots.backend().rehearse_kept(slots.device(), dry, 1), std::nullopt);
  constexpr int kPasses = 12;
  slots.backend().cap_temporaries(peak + kPasses * each);
  const torch::Tensor input = slots.hidden(5);
  for (int steps = 0; steps < 2; ++steps) {
    EXPECT_NO_THROW({
      for (int pass = 0; pass < kPasses; ++pass) slots.forward(2 - pass / 6, input, pass % 6 % 2, true, true);
      slots.head(input, 0, true);
      for (int pass = kPasses; pass-- > 0;) slots.backward(2 - pass / 6, {}, input, pass % 6 % 2, true);
      slots.backward(1, input, input, 0, true);
    });
  }
  EXPECT_EQ(slots.backend().outside_bytes(), 0U);
}

TEST_P(Backend, ADryRunEndsAtTheFirstByteTooMany) {
  const backend::TorchAllocator allocator;
  Slots slots(dtypes());
  const std::uint64_t peak = rehearsed(slots, kEnough).value();
  EXPECT_EQ(rehearsed(slots, peak), peak);
  EXPECT_EQ(rehearsed(slots, peak - 1), std::nullopt);
  EXPECT_EQ(rehearsed(slots, 0), std::nullopt);
  EXPECT_EQ(rehearsed(slots, kEnough), peak) << "what was ended leaves nothing behind";
}

// Also in the middle of a backward pass, where LibTorch's engine is on the stack.
TEST_P(Backend, ADryRunEndsWithWhatItsListenerThrows) {
  const backend::TorchAllocator allocator;
  Slots slots(dtypes());
  int allocations = 0;
  ASSERT_TRUE(rehearsed(slots, kEnough, [&] { ++allocations; }));
  ASSERT_GT(allocations, 20);
  struct Stop {};
  for (const int last : {1, allocations / 4, allocations / 2, allocations * 3 / 4, allocations}) {
    int seen = 0;
    EXPECT_THROW(static_cast<void>(rehearsed(slots, kEnough, [&] { if (++seen == last) throw Stop(); })), Stop) << "allocation " << last;
  }
  EXPECT_TRUE(rehearsed(slots, kEnough));
}

TEST_P(Backend, WidenedBytesAreOneFp32CopyOfTheWidestBlockAndOneOfTheTiedObject) {
  Slots slots(dtypes());
  const auto pages = [](std::uint64_t elements) { return (elements * 4 + 4095) / 4096 * 4096; };
  const plan::ModelLayout& layout = slots.layout();
  EXPECT_EQ(slots.backend().widened_bytes(), widens() ? pages(layout.flat(1).elements) + pages(layout.flat(0).elements) : 0);
}

}  // namespace
}  // namespace gsnake::test
