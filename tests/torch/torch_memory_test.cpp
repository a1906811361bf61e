// The allocator that counts and caps LibTorch's temporaries.
#include <gtest/gtest.h>

#include <thread>

#include "greedysnake/error.h"
#include "greedysnake/models.h"
#include "model/binding.h"
#include "model/seeding.h"
#include "model/unit_ops.h"
#include "torch/memory.h"

namespace gsnake::backend {
namespace {

constexpr std::int64_t kMegabyte = 1 << 20;

class TorchMemory : public testing::Test {
 protected:
  void SetUp() override {
    install_torch_allocator();
    torch::set_num_threads(1);
  }
  TorchMemoryMeter meter_;
};

torch::Tensor megabytes(std::int64_t count) { return torch::empty({count * kMegabyte}, torch::kUInt8); }

TEST_F(TorchMemory, CountsWhatIsInUseAndTheMostThatWas) {
  const MeteredScope scope(meter_);
  torch::Tensor first = megabytes(3);
  {
    const torch::Tensor second = megabytes(2);
    EXPECT_EQ(meter_.in_use_bytes, 5 * kMegabyte);
  }
  EXPECT_EQ(meter_.in_use_bytes, 3 * kMegabyte);
  first = torch::Tensor();
  EXPECT_EQ(meter_.in_use_bytes, 0);
  EXPECT_EQ(meter_.peak_bytes, 5 * kMegabyte);
}

TEST_F(TorchMemory, BeyondTheCapThrowsAndTheRefusedBytesAreNotCharged) {
  meter_.cap_bytes = 4 * kMegabyte;
  const MeteredScope scope(meter_);
  const torch::Tensor kept = megabytes(3);
  try {
    megabytes(2);
    FAIL() << "5 MiB were given under a cap of 4";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::budget);
    EXPECT_NE(std::string(error.what()).find("4"), std::string::npos) << error.what();
  }
  EXPECT_EQ(meter_.in_use_bytes, 3 * kMegabyte);
  EXPECT_NO_THROW(megabytes(1));
}

TEST_F(TorchMemory, CountsOnlyInsideTheScopeAndOnItsThread) {
  torch::Tensor outside = megabytes(1);
  {
    const MeteredScope scope(meter_);
    std::thread([] { megabytes(8); }).join();
    EXPECT_EQ(meter_.peak_bytes, 0);
    TorchMemoryMeter inner;
    {
      const MeteredScope nested(inner);
      megabytes(2);
    }
    EXPECT_EQ(inner.peak_bytes, 2 * kMegabyte);
    EXPECT_EQ(meter_.peak_bytes, 0);
    megabytes(1);
  }
  megabytes(8);
  EXPECT_EQ(meter_.peak_bytes, kMegabyte);
}

TEST_F(TorchMemory, EveryScopeStartsFromNothingInUse) {
  torch::Tensor survivor;
  {
    const MeteredScope scope(meter_);
    survivor = megabytes(2);
  }
  const MeteredScope scope(meter_);
  EXPECT_EQ(meter_.in_use_bytes, 0);
  EXPECT_EQ(meter_.peak_bytes, 2 * kMegabyte);
}

TEST_F(TorchMemory, LogitsNeverExistForMoreThanAChunk) {
  constexpr std::int64_t kTokens = 512;
  constexpr std::int64_t kChunk = 32;
  ModelConfig config;
  config.hidden = 32;
  config.heads = 2;
  config.layers = 1;
  config.vocab = 4096;
  config.context = kTokens;
  const Model model = models::make(config);
  auto& head = dynamic_cast<HeadUnit&>(*model.kinds.back().module);
  const optim::FlatLayout layout = optim::make_flat_layout(model::parameters_of(head), false);
  torch::Tensor weights = torch::randn(static_cast<std::int64_t>(layout.elements)) * 0.1;
  torch::Tensor gradients = torch::zeros_like(weights);
  model::bind_parameters(head, model::views(weights.data_ptr(), layout));
  model::set_gradients(head, model::views(gradients.data_ptr(), layout));
  const torch::Tensor hidden = torch::randn({1, kTokens, config.hidden});
  const torch::Tensor labels = torch::randint(config.vocab, {1, kTokens}, torch::kInt64);
  torch::Tensor gradient = torch::empty_like(hidden);
  const auto peak_of = [&](std::int64_t chunk) {
    TorchMemoryMeter meter;
    const MeteredScope scope(meter);
    torch::Tensor loss = torch::zeros({}, torch::kFloat64);
    model::head_forward_backward(head, hidden, labels, {1.0F, chunk}, &gradient, loss);
    return meter.peak_bytes;
  };
  const std::int64_t all_logits = kTokens * config.vocab * 4;
  EXPECT_LT(peak_of(kChunk), all_logits / 2);
  EXPECT_GT(peak_of(kTokens), all_logits);
}

}  // namespace
}  // namespace gsnake::backend
