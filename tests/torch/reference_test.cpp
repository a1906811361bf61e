// A whole step through the backend, on slots, beside the reference loop: losses and gradients are equal bit for bit in every dtype.
#include <gtest/gtest.h>

#include "reference/numbers.h"
#include "reference/reference_loop.h"
#include "slots.h"

namespace gsnake::test {
namespace {

reference::Options options_of(const Dtypes& dtypes, float loss_scale) {
  reference::Options options;
  options.head_chunk = 7;
  options.dtype = dtypes.storage;
  options.compute = dtypes.compute;
  options.loss_scale = {loss_scale, false, 1};
  return options;
}

void store(const torch::Tensor& master, torch::Tensor& slot) {
  slot.zero_();
  slot.narrow(0, 0, master.numel()).copy_(master);
  if (slot.scalar_type() != torch::kBFloat16) return;
  for (std::int64_t i = 0; i < master.numel(); ++i) {
    slot.data_ptr<at::BFloat16>()[i].x = reference::compute_weight_bf16(master.data_ptr<float>()[i]);
  }
}

// Vertical, ascending: every unit for both micro-batches, opening its visit with the first.
void run_step(Slots& slots, float loss_scale) {
  std::vector<std::vector<torch::Tensor>> inputs(kHead + 1, std::vector<torch::Tensor>(2));
  std::vector<torch::Tensor> gradients(2);
  for (int unit = 0; unit < kHead; ++unit) {
    for (std::size_t m = 0; m < 2; ++m) {
      inputs[static_cast<std::size_t>(unit) + 1][m] =
          slots.forward(unit, inputs[static_cast<std::size_t>(unit)][m], static_cast<int>(m), m == 0);
    }
  }
  for (std::size_t m = 0; m < 2; ++m) gradients[m] = slots.head(inputs[kHead][m], static_cast<int>(m), m == 0, loss_scale);
  for (int unit = kHead - 1; unit >= 0; --unit) {
    for (std::size_t m = 0; m < 2; ++m) {
      gradients[m] = slots.backward(unit, inputs[static_cast<std::size_t>(unit)][m], gradients[m], static_cast<int>(m), m == 0);
    }
  }
}

void expect_equal_step(const Dtypes& dtypes, float loss_scale) {
  Slots slots(dtypes);
  slots.loss_factor = static_cast<float>(1.0 / static_cast<double>(2 * kRows * kTokens));
  reference::ReferenceLoop loop(models::make(backend_model()), options_of(dtypes, loss_scale));
  for (std::int64_t unit = 0; unit < loop.units(); ++unit) store(loop.weights(unit), slots.weights[static_cast<std::size_t>(unit)]);
  run_step(slots, loss_scale);
  std::vector<reference::MicroBatch> micro_batches;
  for (std::int64_t m = 0; m < 2; ++m) micro_batches.push_back({slots.inputs[m], slots.labels[m]});
  const reference::StepResult result = loop.step(micro_batches, 1e-3);
  EXPECT_EQ(slots.losses, result.micro_batch_losses);
  slots.gradients[0].add_(slots.tied_gradients);
  for (std::int64_t unit = 0; unit < loop.units(); ++unit) {
    const torch::Tensor& expected = loop.gradients(unit);
    EXPECT_GT(expected.abs().max().item<float>(), 0.0F);
    EXPECT_TRUE(torch::equal(slots.gradients[static_cast<std::size_t>(unit)].narrow(0, 0, expected.numel()), expected)) << "unit " << unit;
  }
}

TEST(BackendAndReferenceLoop, AreEqualInFp32) { expect_equal_step({}, 1.0F); }
TEST(BackendAndReferenceLoop, AreEqualInBf16OnWidenedWeights) { expect_equal_step({torch::kBFloat16, torch::kFloat32}, 1.0F); }
TEST(BackendAndReferenceLoop, AreEqualInNativeBf16) { expect_equal_step({torch::kBFloat16, torch::kBFloat16}, 1.0F); }
TEST(BackendAndReferenceLoop, AreEqualInFp16UnderALossScale) { expect_equal_step({torch::kHalf, torch::kFloat32}, 1024.0F); }

}  // namespace
}  // namespace gsnake::test
