// Trains a small Llama for a few steps on text that repeats, with everything on SSD, checks that the loss falls, and exports the model to ./exported.
#include <greedysnake/greedysnake.h>

#include <cstdio>
#include <string>
#include <utility>

namespace {

constexpr char kConfig[] = R"(
[model]
family = "llama"
layers = 3
hidden = 64
heads = 4
kv_heads = 2
intermediate = 128
vocab = 256
context = 32
tie_embeddings = false

[data]
train = ["generated"]  # by this program

[train]
micro_batches = 2
micro_batch_size = 2
sequence_length = 32
dtype = "fp32"
delay = 0.5

[optimizer]
learning_rate = 1e-2

[memory]
device_budget = "256 MiB"
host_budget = "256 MiB"

[placement]
activations = { host = 0.0 }
gradients = { host = 0.0 }
)";

gsnake::Batch make_batch(const gsnake::TrainConfig& train) {
  const std::string text = "a snake that eats its own tail never goes hungry; ";
  gsnake::Batch batch;
  for (std::int64_t i = 0; i < train.micro_batches * train.micro_batch_size * train.sequence_length; ++i) {
    batch.inputs.push_back(text[i % text.size()]);
    batch.labels.push_back(text[(i + 1) % text.size()]);
  }
  return batch;
}

// Whether the loss fell.
bool train() {
  const auto config = gsnake::Config::parse(kConfig);
  gsnake::Trainer trainer(gsnake::models::llama(config.model), config);
  const auto batch = make_batch(config.train);
  double first = 0.0;
  double last = 0.0;
  for (int step = 0; step < 10; ++step) {
    last = trainer.step(batch).loss;
    if (step == 0) first = last;
    std::printf("step %d: loss %.4f\n", step + 1, last);
  }
  trainer.commit();
  const gsnake::TransferReport exported = gsnake::export_run(config.run.dir, "exported");
  std::printf("%s exported %llu parameters in %d files\n", gsnake::version(), static_cast<unsigned long long>(exported.parameters), exported.files);
  return last < 0.8 * first;
}

}  // namespace

int main() {
  try {
    return train() ? 0 : 1;
  } catch (const gsnake::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return error.exit_status();
  }
}
