#include "parity/imported_run.h"

namespace gsnake::test {

Config config_of(const std::string& from, const std::string& dtype, const TempFolder& folder, const std::vector<std::string>& more) {
  std::vector<std::string> settings{"model.from=\"" + from + "\"", "run.dir=" + (folder / "run"), "ssd.paths=" + (folder / "ssd"),
                                    "train.dtype=" + dtype};
  settings.insert(settings.end(), more.begin(), more.end());
  return Config::parse(R"(
    train = { steps = 20, micro_batches = 2, micro_batch_size = 2, sequence_length = 12, compute_threads = 1 }
    optimizer = { learning_rate = 1e-3, betas = [0.9, 0.95], epsilon = 1e-8, weight_decay = 0.1 }
    memory = { host_budget = "64 MiB", device_budget = "64 MiB" }
    ssd = { weights = [1] }
  )",
                       folder.path(), settings);
}

std::vector<Batch> fixture_batches(const Config& config) {
  const std::string bytes = read_file(fixture("tokens.bin"));
  const auto token = [&](std::size_t i) { return static_cast<std::int64_t>(static_cast<unsigned char>(bytes[2 * i])); };
  const auto tokens = static_cast<std::size_t>(config.train.micro_batches * config.train.micro_batch_size * config.train.sequence_length);
  std::vector<Batch> batches(static_cast<std::size_t>(config.train.steps));
  for (std::size_t step = 0; step < batches.size(); ++step) {
    for (std::size_t i = 0; i < tokens; ++i) {
      batches[step].inputs.push_back(token(step * tokens + i));
      batches[step].labels.push_back(token(step * tokens + i + 1));
    }
  }
  return batches;
}

}  // namespace gsnake::test
