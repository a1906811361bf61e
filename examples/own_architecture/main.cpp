// An architecture that the library does not have, with Hugging Face names: a block whose attention and MLP run side by side on one norm's
// output, as GPT-J's. Trains it on text, exports it, starts a second run from the export, and checks that both have the same loss.
//   own_architecture TEXT_FILE FOLDER
#include <greedysnake/greedysnake.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace {

constexpr std::int64_t kVocab = 256;
constexpr std::int64_t kHidden = 64;
constexpr std::int64_t kHeads = 4;
constexpr std::int64_t kBlocks = 3;
constexpr std::int64_t kContext = 64;

torch::Tensor parameter(std::initializer_list<std::int64_t> sizes) { return torch::empty(sizes, torch::kMeta); }

// 1. The units.
class Embedding final : public gsnake::EmbeddingUnit {
 public:
  Embedding() {
    tokens_ = register_parameter("tokens", parameter({kVocab, kHidden}));
    positions_ = register_parameter("positions", parameter({kContext, kHidden}));
  }
  torch::Tensor forward(const torch::Tensor& ids) override { return torch::embedding(tokens_, ids) + positions_.slice(0, 0, ids.size(1)); }

 private:
  torch::Tensor tokens_;
  torch::Tensor positions_;
};

class ParallelBlock final : public gsnake::Unit {
 public:
  ParallelBlock() {
    norm_ = register_parameter("norm", parameter({kHidden}));
    qkv_ = register_parameter("qkv", parameter({3 * kHidden, kHidden}));
    out_ = register_parameter("out", parameter({kHidden, kHidden}));
    up_ = register_parameter("up", parameter({4 * kHidden, kHidden}));
    down_ = register_parameter("down", parameter({kHidden, 4 * kHidden}));
  }

  torch::Tensor forward(const torch::Tensor& hidden) override {
    const torch::Tensor x = torch::rms_norm(hidden, {kHidden}, norm_, 1e-5);
    const auto qkv = torch::linear(x, qkv_).view({x.size(0), x.size(1), 3, kHeads, -1}).permute({2, 0, 3, 1, 4}).unbind(0);
    const torch::Tensor attended = at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], {}, 0.0, /*is_causal=*/true);
    const torch::Tensor attention = torch::linear(attended.transpose(1, 2).reshape(x.sizes()), out_);
    return hidden + attention + torch::linear(torch::gelu(torch::linear(x, up_)), down_);
  }

 private:
  torch::Tensor norm_;
  torch::Tensor qkv_;
  torch::Tensor out_;
  torch::Tensor up_;
  torch::Tensor down_;
};

class Head final : public gsnake::HeadUnit {
 public:
  Head() {
    norm_ = register_parameter("norm", parameter({kHidden}));
    weight_ = register_parameter("weight", parameter({kVocab, kHidden}));
  }
  torch::Tensor logits(const torch::Tensor& hidden) override {
    return torch::linear(torch::rms_norm(hidden, {kHidden}, norm_, 1e-5), weight_);
  }

 private:
  torch::Tensor norm_;
  torch::Tensor weight_;
};

// 3. The name map: what each parameter is called in the folder. Kinds: 0 embedding, 1 block, 2 head. The MLP is stored (in, out) there.
gsnake::NameMap names() {
  gsnake::NameMap map;
  map.tensors = {{0, "tokens", "transformer.embed_in.weight"},
                 {0, "positions", "transformer.embed_positions.weight"},
                 {1, "norm", "transformer.h.{}.norm.weight"},
                 {1, "qkv", "transformer.h.{}.attention.qkv.weight"},
                 {1, "out", "transformer.h.{}.attention.out.weight"},
                 {1, "up", "transformer.h.{}.mlp.up.weight", true},
                 {1, "down", "transformer.h.{}.mlp.down.weight", true},
                 {2, "norm", "transformer.norm.weight"},
                 {2, "weight", "lm_head.weight"}};
  map.base_prefix = "transformer.";
  return map;
}

// 2. The model. The head's weight is the embedding's.
gsnake::Model parallel_model() {
  gsnake::Model model;
  model.kinds = {
      {"embedding", std::make_shared<Embedding>()}, {"block", std::make_shared<ParallelBlock>()}, {"head", std::make_shared<Head>()}};
  model.units.assign(kBlocks + 2, 1);
  model.units.front() = 0;
  model.units.back() = 2;
  model.hidden = kHidden;
  model.vocab = kVocab;
  model.max_context = kContext;
  model.tied = {{"tokens", "weight"}};
  model.names = names();
  model.initialize = [](torch::nn::Module& module, std::int64_t unit) {
    const torch::NoGradGuard no_grad;
    for (auto& item : module.named_parameters()) {
      if (unit == kBlocks + 1 && item.key() == "weight") continue;  // tied
      if (item.value().dim() == 1) {
        item.value().fill_(1.0);
      } else {
        item.value().normal_(0.0, 0.05);
      }
    }
  };
  return model;
}

gsnake::Config settings(const std::string& folder) {
  return gsnake::Config::parse(R"(
    model = { vocab = 256, context = 64, hidden = 64, heads = 4 }
    train = { dtype = "fp32", micro_batches = 2, micro_batch_size = 2, sequence_length = 64, compute_threads = 1 }
    optimizer = { learning_rate = 3e-3 }
    memory = { host_budget = "32 MiB", device_budget = "64 MiB" }
  )",
                               folder);
}

gsnake::Batch window(const std::string& text, const gsnake::TrainConfig& train, std::size_t step) {
  const auto tokens = static_cast<std::size_t>(train.micro_batches * train.micro_batch_size * train.sequence_length);
  gsnake::Batch batch;
  for (std::size_t i = 0; i < tokens; ++i) {
    const auto at = [&](std::size_t place) { return static_cast<std::int64_t>(static_cast<unsigned char>(text[place % text.size()])); };
    batch.inputs.push_back(at(step * tokens + i));
    batch.labels.push_back(at(step * tokens + i + 1));
  }
  return batch;
}

double train(const std::string& text, const gsnake::Config& config, int steps) {
  gsnake::Trainer trainer(parallel_model(), config);
  double loss = 0.0;
  for (int step = 0; step < steps; ++step) loss = trainer.step(window(text, config.train, static_cast<std::size_t>(step))).loss;
  trainer.commit();
  std::printf("step %d  loss %.4f\n", steps, loss);
  return trainer.validate(window(text, config.train, 1000));
}

// 4. Out, and in again.
int run(const std::string& path, const std::string& folder) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (text.size() < 4096) throw gsnake::Error(gsnake::ErrorKind::input, path + " is missing or too short; name a text of 4 KiB at least");
  std::filesystem::create_directories(folder);
  const gsnake::Config config = settings(folder + "/first");
  const double trained = train(text, config, 20);

  gsnake::ExportOptions options;
  options.config_json = R"({"architectures": ["ParallelForCausalLM"], "model_type": "parallel", "vocab_size": 256, "hidden_size": 64})";
  gsnake::export_model(parallel_model(), config.run.dir, folder + "/exported", options);

  gsnake::Config second = settings(folder + "/second");
  second.model.from = folder + "/exported";
  gsnake::import_model(parallel_model(), second);
  gsnake::TrainerOptions resume;
  resume.resume = gsnake::Resume::must;
  gsnake::Trainer trainer(parallel_model(), second, resume);
  const double imported = trainer.validate(window(text, second.train, 1000));
  std::printf("loss of the trained model %.9g, of the export that was imported again %.9g\n", trained, imported);
  if (trained == imported) return 0;
  std::fprintf(stderr, "own_architecture: they differ\n");
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: own_architecture TEXT_FILE FOLDER\n");
    return 2;
  }
  try {
    return run(argv[1], argv[2]);
  } catch (const gsnake::Error& error) {
    std::fprintf(stderr, "own_architecture: %s\n", error.what());
    return error.exit_status();
  }
}
