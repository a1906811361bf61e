// Runs that start from a Hugging Face folder have the losses that transformers and torch's AdamW have with it.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "parity/imported_run.h"

namespace gsnake::test {
namespace {

std::vector<double> expected_losses(const std::string& family) {
  return nlohmann::json::parse(read_file(fixture(family) + "/losses.json"));
}

std::vector<double> trained_losses(const Config& config, const std::string& resume = "") {
  TrainerOptions options;
  if (!resume.empty()) options.resume = Resume::must;
  Trainer trainer(models::make(config.model), config, options);
  std::vector<double> losses;
  for (const Batch& batch : fixture_batches(config)) losses.push_back(trainer.step(batch).loss);
  return losses;
}

class Losses : public testing::TestWithParam<const char*> {};

TEST_P(Losses, InFp32AreThoseOfTransformers) {
  const TempFolder folder;
  const std::vector<double> losses = trained_losses(config_of(fixture(GetParam()), "fp32", folder));
  const std::vector<double> expected = expected_losses(GetParam());
  ASSERT_EQ(losses.size(), expected.size());
  EXPECT_NEAR(losses[0], expected[0], 1e-5 * expected[0]);
  for (std::size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i], expected[i], 1e-4 * expected[i]) << "step " << i + 1;
}

TEST_P(Losses, In16BitsAreNearThem) {
  for (const char* dtype : {"bf16", "fp16"}) {
    const TempFolder folder;
    const std::vector<double> losses =
        trained_losses(config_of(fixture(GetParam()), dtype, folder, {"train.loss_scale=" + std::string(dtype[0] == 'f' ? "128" : "1")}));
    const std::vector<double> expected = expected_losses(GetParam());
    for (std::size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i], expected[i], 1e-2 * expected[i]) << dtype << ", step " << i + 1;
  }
}

// Placement, delay and schedule change no bit of a run from an import, made by either way.
TEST_P(Losses, AreTheSameBitsForAnImportThatWasCommittedAndHoweverStateMoves) {
  const TempFolder folder;
  const std::vector<double> losses = trained_losses(config_of(fixture(GetParam()), "bf16", folder));
  const TempFolder other;
  const std::vector<std::string> more{"train.delay=0.5", "placement.weights.host=0.3", "placement.optimizer.host=0.6",
                                      "placement.activations.host=0", "placement.gradients.host=0"};
  const Config config = config_of(fixture(GetParam()), "bf16", other, more);
  import_model(models::make(config.model), config_of(fixture(GetParam()), "bf16", other));
  EXPECT_EQ(trained_losses(config, "must"), losses);
}

INSTANTIATE_TEST_SUITE_P(Families, Losses, testing::ValuesIn(kFamilies), [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace gsnake::test
