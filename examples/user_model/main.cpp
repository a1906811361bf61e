// Trains units of your own: a character model that mixes tokens with a causal running mean instead of attention.
//   user_model TEXT_FILE RUN_FOLDER [STEPS]
// A unit is an ordinary torch::nn::Module. One instance of each kind serves all units of that kind: the library rebinds its parameters to the
// slot that a unit's weights were streamed to.
#include <greedysnake/greedysnake.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

namespace {

constexpr std::int64_t kVocab = 256;
constexpr std::int64_t kHidden = 128;
constexpr std::int64_t kBlocks = 6;

// Parameters on the meta device take no memory: where their bytes are is the library's business.
torch::Tensor parameter(std::initializer_list<std::int64_t> sizes) { return torch::empty(sizes, torch::kMeta); }

class Embedding final : public gsnake::EmbeddingUnit {
 public:
  Embedding() { table_ = register_parameter("table", parameter({kVocab, kHidden})); }
  torch::Tensor forward(const torch::Tensor& ids) override { return torch::embedding(table_, ids); }

 private:
  torch::Tensor table_;
};

class MeanMixer final : public gsnake::Unit {
 public:
  MeanMixer() {
    mix_ = register_parameter("mix", parameter({kHidden, kHidden}));
    up_ = register_parameter("up", parameter({4 * kHidden, kHidden}));
    down_ = register_parameter("down", parameter({kHidden, 4 * kHidden}));
    scale_ = register_parameter("scale", parameter({kHidden}));
  }

  torch::Tensor forward(const torch::Tensor& hidden) override {
    const torch::Tensor position = torch::arange(1, hidden.size(1) + 1, hidden.options()).view({1, -1, 1});
    const torch::Tensor mean = torch::linear(hidden.cumsum(1) / position, mix_);
    const torch::Tensor before = torch::constant_pad_nd(hidden.slice(1, 0, hidden.size(1) - 1), {0, 0, 1, 0});
    const torch::Tensor x = hidden + torch::tanh(mean + before);
    return x + torch::linear(torch::gelu(torch::linear(torch::rms_norm(x, {kHidden}, scale_), up_)), down_);
  }

 private:
  torch::Tensor mix_;
  torch::Tensor up_;
  torch::Tensor down_;
  torch::Tensor scale_;
};

class Head final : public gsnake::HeadUnit {
 public:
  Head() { weight_ = register_parameter("weight", parameter({kVocab, kHidden})); }
  torch::Tensor logits(const torch::Tensor& hidden) override { return torch::linear(hidden, weight_); }

 private:
  torch::Tensor weight_;
};

gsnake::Model mean_mixer_model() {
  gsnake::Model model;
  model.kinds = {{"embedding", std::make_shared<Embedding>()}, {"mixer", std::make_shared<MeanMixer>()}, {"head", std::make_shared<Head>()}};
  model.units.assign(kBlocks + 2, 1);
  model.units.front() = 0;
  model.units.back() = 2;
  model.hidden = kHidden;
  model.vocab = kVocab;
  model.max_context = 1024;
  // Called once per unit, bound to real memory, with torch's generator seeded by (seed, unit).
  model.initialize = [](torch::nn::Module& module, std::int64_t) {
    const torch::NoGradGuard no_grad;
    for (torch::Tensor& parameter : module.parameters()) {
      if (parameter.dim() == 1) {
        parameter.fill_(1.0);
      } else {
        parameter.normal_(0.0, 0.5 / std::sqrt(static_cast<double>(parameter.size(1))));
      }
    }
  };
  return model;
}

gsnake::Config settings(const std::string& text, const std::string& folder) {
  // Weights, optimizer state and activations on SSD; half of each optimizer step runs under the next forward pass.
  return gsnake::Config::parse(R"(
    model = { vocab = 256, context = 1024, hidden = 128, heads = 1 }
    train = { dtype = "fp32", micro_batches = 4, micro_batch_size = 4, sequence_length = 64, delay = 0.5 }
    optimizer = { learning_rate = 3e-3, weight_decay = 0.0 }
    memory = { host_budget = "32 MiB", device_budget = "64 MiB" }
    placement = { activations = { host = 0.0 } }
    run = { durability = "off" }
  )", folder, {"data.train=[\"" + text + "\"]"});
}

gsnake::Batch draw(const std::string& text, const gsnake::TrainConfig& train, std::mt19937_64& random) {
  gsnake::Batch batch;
  std::uniform_int_distribution<std::size_t> start(0, text.size() - static_cast<std::size_t>(train.sequence_length) - 2);
  for (std::int64_t row = 0; row < train.micro_batches * train.micro_batch_size; ++row) {
    const std::size_t first = start(random);
    for (std::int64_t i = 0; i < train.sequence_length; ++i) {
      batch.inputs.push_back(static_cast<unsigned char>(text[first + static_cast<std::size_t>(i)]));
      batch.labels.push_back(static_cast<unsigned char>(text[first + static_cast<std::size_t>(i) + 1]));
    }
  }
  return batch;
}

int run(const std::string& path, const std::string& folder, int steps) {
  const gsnake::Config config = settings(path, folder);
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (text.size() < 4096) throw gsnake::Error(gsnake::ErrorKind::input, path + " is missing or too short; name a text of 4 KiB at least");
  gsnake::Trainer trainer(mean_mixer_model(), config);
  std::mt19937_64 random(1);
  for (int step = 0; step < steps; ++step) {
    const gsnake::StepResult result = trainer.step(draw(text, config.train, random));
    if (step == 0 || (step + 1) % 10 == 0) {
      std::printf("step %lld  loss %.4f  gradient norm %.3f  %.0f tokens/s\n", static_cast<long long>(result.step), result.loss, result.grad_norm,
                  result.tokens_per_second);
    }
  }
  trainer.commit();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: user_model TEXT_FILE RUN_FOLDER [STEPS]\n");
    return 2;
  }
  try {
    return run(argv[1], argv[2], argc > 3 ? std::max(1, std::atoi(argv[3])) : 50);
  } catch (const gsnake::Error& error) {
    std::fprintf(stderr, "user_model: %s\n", error.what());
    return error.exit_status();
  }
}
