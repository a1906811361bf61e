#include "config/key_table.h"

#include <algorithm>

#include "config/section_keys.h"
#include "core/model_shape.h"

namespace gsnake::config {

namespace {

bool is_device(const std::string& text) {
  constexpr std::string_view kCuda = "cuda:";
  if (text == "cpu" || text == "cuda:{local_rank}") return true;
  if (!text.starts_with(kCuda) || text.size() > kCuda.size() + 3 || text.size() == kCuda.size()) return false;
  return std::all_of(text.begin() + kCuda.size(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

using core::kMostLayers;
using core::kMostWide;

Range at_most(std::int64_t most, std::int64_t least) { return {.low = static_cast<double>(least), .high = static_cast<double>(most)}; }

bool any_text(const std::string&) { return true; }

void model_keys(std::vector<Key>& keys) {
  SectionKeys model(
      keys, "model.", [](auto& config) -> auto& { return config.model; });
  model.choice("family", &ModelConfig::family, "architecture of the blocks");
  model.integer("layers", &ModelConfig::layers, at_most(kMostLayers, 1), "number of transformer blocks");
  model.integer("hidden", &ModelConfig::hidden, at_most(kMostWide, 1), "width of the hidden states");
  model.integer("heads", &ModelConfig::heads, at_most(kMostWide, 1), "query heads; they divide `model.hidden` unless `model.head_dim` is given");
  model.integer("kv_heads", &ModelConfig::kv_heads, at_most(kMostWide, 0),
                "key and value heads; they divide `model.heads`; 0: as many as `model.heads`");
  model.integer("head_dim", &ModelConfig::head_dim, at_most(kMostWide, 0), "width of a head; 0: `model.hidden` / `model.heads`");
  model.integer("intermediate", &ModelConfig::intermediate, at_most(4 * kMostWide, 0),
                "width inside the MLP; 0: 4 x `model.hidden` in gpt2, 8/3 x `model.hidden` rounded up to 64 in the others");
  model.integer("vocab", &ModelConfig::vocab, at_most(kMostWide, 1), "token ids are 0 to vocab - 1");
  model.integer("context", &ModelConfig::context, count(1), "tokens a row may have at most");
  model.boolean("tie_embeddings", &ModelConfig::tie_embeddings, "the head's weight is the embedding's: one stored tensor");
  model.real("norm_epsilon", &ModelConfig::norm_epsilon, above(0), "added to the variance in LayerNorm and RMSNorm");
  model.real("rope_theta", &ModelConfig::rope_theta, above(0), "base of the rotary positions' wavelengths");
  model.integer("sliding_window", &ModelConfig::sliding_window, count(0), "tokens each position attends to, itself included; 0: all before it; mistral, qwen2, qwen3");
  model.boolean("qkv_bias", &ModelConfig::qkv_bias, "biases on q, k and v: gpt2 and qwen2 always have them, the others never");
  model.boolean("qk_norm", &ModelConfig::qk_norm, "RMSNorm on each head's q and k: qwen3 always has it, the others never");
  model.real("dropout", &ModelConfig::dropout, Range{.low = 0, .high = 1, .open_high = true},
             "probability of dropping an element; seeded by (seed, step, unit, micro-batch)");
  model.path("from", &ModelConfig::from, "", "text: a folder, or \"\" for none", true,
             "a Hugging Face folder whose config.json gives the shape and whose safetensors give a new run's weights");
}

void rope_scaling_keys(std::vector<Key>& keys) {
  SectionKeys rope(
      keys, "model.rope_scaling.", [](auto& config) -> auto& { return config.model.rope_scaling; });
  rope.choice("type", &RopeScaling::type, "how rotary positions are stretched; \"\": they are not");
  rope.real("factor", &RopeScaling::factor, Range{.low = 1}, "how far they are stretched");
  rope.real("low_freq_factor", &RopeScaling::low_freq_factor, above(0),
            "llama3: wavelengths longer than original_context / this are stretched");
  rope.real("high_freq_factor", &RopeScaling::high_freq_factor, above(0),
            "llama3: wavelengths shorter than original_context / this are kept");
  rope.integer("original_context", &RopeScaling::original_context, count(0), "llama3: context before scaling, in tokens");
}

void data_keys(std::vector<Key>& keys) {
  SectionKeys data(
      keys, "data.", [](auto& config) -> auto& { return config.data; });
  data.files("train", &DataConfig::train,
             "files of text (bytes), tokens (.bin of nanoGPT, llm.c or Megatron) or examples (.jsonl), read as one sequence in this order; "
             "with weights, each by itself");
  data.files("validation", &DataConfig::validation, "files whose loss is measured every `train.validate_every` steps");
  data.real("validation_split", &DataConfig::validation_split, Range{.low = 0, .high = 1, .open_high = true},
            "in place of `data.validation`: the fraction of the rows of `data.train`, the last ones, that is held out; 0: none");
  data.path("tokenizer", &DataConfig::tokenizer, "bytes", "\"bytes\", or the path of a tokenizer.json", false,
            "how text becomes token ids; `bytes`: a byte's id is its value");
  data.choice("order", &DataConfig::order,
              "of the windows; shuffled by `train.seed`, anew in each pass over the data");
  data.integer("separator", &DataConfig::separator, between(-1, 2147483647),
               "token id put between files, and with which documents end inside them; -1: none");
  data.choice("documents", &DataConfig::documents,
              "joined: rows go on over their ends; masked: so they do, but the first token of a document is no label; separate: a row holds one "
              "document; packed: several, none of which sees another; auto: separate for .jsonl, else joined");
  data.choice("dtype", &DataConfig::dtype, "of ids alone: a .bin without a header, unless its own entry says; auto: uint16, where the vocabulary fits");
}

void train_keys(std::vector<Key>& keys) {
  SectionKeys train(
      keys, "train.", [](auto& config) -> auto& { return config.train; });
  train.integer("steps", &TrainConfig::steps, count(1), "optimizer steps in all");
  train.integer_or("micro_batches", &TrainConfig::micro_batches, count(1), "auto", "micro-batches a step (M), part of the maths; auto: the planner's (docs/planner.md)");
  train.integer("micro_batch_size", &TrainConfig::micro_batch_size, count(1), "rows a micro-batch");
  train.integer("sequence_length", &TrainConfig::sequence_length, at_most(kMostWide, 1), "tokens a row, at most `model.context`");
  train.choice("dtype", &TrainConfig::dtype, "of stored weights, activations and traffic");
  train.choice("compute_dtype", &TrainConfig::compute_dtype,
               "what the CPU device computes in; auto: `train.dtype` where the CPU has units for it");
  train.integer("compute_threads", &TrainConfig::compute_threads, between(0, 1024),
                "intra-op threads, 0: all cores; part of the maths (the order of LayerNorm's sums)");
  train.choice("pin_threads", &TrainConfig::pin_threads,
               "apart: the compute lane's and the optimizer's threads keep to cores of their own (docs/optimizer.md has what that buys)");
  train.boolean("deterministic", &TrainConfig::deterministic,
                "on a GPU: equal bits whatever the schedule, delay, placement or resume (the CPU always gives them); false allows faster kernels");
  train.choice("schedule", &TrainConfig::schedule,
               "vertical: all micro-batches of a unit, then the next unit; horizontal: a micro-batch through all units");
  train.choice("order", &TrainConfig::order,
               "of micro-batches, part of the maths; auto: snake under vertical, ascending under horizontal, which allows no other");
  train.real_or("delay", &TrainConfig::delay, between(0, 1), "auto",
                "fraction of the optimizer step that is delayed into the next forward pass; auto: 0, with a guard 1, and the planner's where it chooses anything else");
  train.integer("seed", &TrainConfig::seed, at_least(0), "of initial weights, data order and dropout");
  train.integer("validate_every", &TrainConfig::validate_every, count(0), "steps between two validations; 0: none");
  train.integer("validation_batches", &TrainConfig::validation_batches, count(1),
                "micro-batches of a validation, always the first ones of the files");
  train.choice("on_nonfinite", &TrainConfig::on_nonfinite,
               "when a loss or gradient is not finite: end with status 6, or skip the step; auto: skip for fp16, else stop");
  train.real_or("loss_scale", &TrainConfig::loss_scale, above(0), "dynamic", "factor on the loss before backward; fp16 only");
  train.integer("head_chunk", &TrainConfig::head_chunk, count(1),
                "tokens whose logits exist at once; part of the maths (the order of sums in the head's gradient and the loss)");
  train.choice("objective", &TrainConfig::objective,
               "tokens: the mean loss of the step's tokens; dpo: preference pairs, rows of {prompt, chosen, rejected} (docs/fine-tune.md)");
  train.real("dpo_beta", &TrainConfig::dpo_beta, above(0), "dpo: how strongly the model is held to the reference, its base without the adapter");
}

void optimizer_keys(std::vector<Key>& keys) {
  SectionKeys optimizer(
      keys, "optimizer.", [](auto& config) -> auto& { return config.optimizer; });
  optimizer.choice("name", &OptimizerConfig::name,
                   "the update rule: AdamW; Adam with L2 decay; Lion; SGD with momentum `betas[0]` and L2 decay");
  optimizer.real("learning_rate", &OptimizerConfig::learning_rate, at_least(0), "at the end of warm-up");
  optimizer.pair("betas", &OptimizerConfig::beta1, &OptimizerConfig::beta2, Range{.low = 0, .high = 1, .open_high = true}, false,
                 "decay of the first and of the second moment");
  optimizer.real("epsilon", &OptimizerConfig::epsilon, above(0), "added to the root of the second moment");
  optimizer.real("weight_decay", &OptimizerConfig::weight_decay, at_least(0),
                 "decoupled; on tensors of two dimensions, embeddings included");
  optimizer.boolean("decay_1d", &OptimizerConfig::decay_1d, "weight decay on norms and biases as well");
  optimizer.real("gradient_clipping", &OptimizerConfig::gradient_clipping, at_least(0), "limit of the gradients' global L2 norm; 0: off");
  optimizer.choice("clipping_mode", &OptimizerConfig::clipping_mode,
                   "deferred: the whole update waits for the norm; speculative: it starts as if nothing were clipped, and is redone if it is");
  optimizer.integer("warmup_steps", &OptimizerConfig::warmup_steps, count(0),
                    "step k (from 0) uses (k + 1) / warmup_steps of the learning rate");
  optimizer.choice("decay", &OptimizerConfig::decay, "course of the learning rate after warm-up");
  optimizer.integer("decay_steps", &OptimizerConfig::decay_steps, count(0), "step at which decay ends, warm-up counted");
  optimizer.real("min_learning_rate", &OptimizerConfig::min_learning_rate, at_least(0), "where decay ends");
  optimizer.choice("moments", &OptimizerConfig::moments, "how the moments are stored, part of the maths; auto: the planner's");
}

void memory_keys(std::vector<Key>& keys) {
  SectionKeys memory(
      keys, "memory.", [](auto& config) -> auto& { return config.memory; });
  memory.text("device", &MemoryConfig::device, "\"cpu\" or \"cuda:N\"", is_device, "where units are computed; of several ranks \"cuda:{local_rank}\", a GPU each");
  memory.bytes_or_auto("device_budget", &MemoryConfig::device_budget,
                       "device memory the run may use; with the CPU as device, a part of host memory of its own; auto: what is free, less a margin");
  memory.bytes_or_auto("host_budget", &MemoryConfig::host_budget,
                       "host memory the run may use beside the device's and the base that is printed at start; auto: what is free, less a margin");
}

void placement_keys(std::vector<Key>& keys) {
  SectionKeys placement(
      keys, "placement.", [](auto& config) -> auto& { return config.placement; });
  placement.tiers("weights", &PlacementConfig::weights, true, "where compute weights live between uses");
  placement.tiers("optimizer", &PlacementConfig::optimizer, true, "where moments and what else the optimizer keeps live");
  placement.tiers("activations", &PlacementConfig::activations, true, "where units' saved inputs wait for backward");
  placement.device_share("kept", &PlacementConfig::kept, "what backward needs of blocks' activations, not recomputed but kept from the forward pass on",
                        "the fraction of (block, micro-batch) pairs that it is kept for, the last blocks first; the rest is recomputed");
  placement.tiers("gradients", &PlacementConfig::gradients, false, "where gradients wait for the delayed part of the update");
  placement.device_share("update", &PlacementConfig::update, "who updates: the device its part of each tensor, the CPU the rest (docs/optimizer.md)", "the device's part, from the first element on");
}

void ssd_keys(std::vector<Key>& keys) {
  SectionKeys ssd(
      keys, "ssd.", [](auto& config) -> auto& { return config.ssd; });
  ssd.paths("paths", &SsdConfig::paths, "folders that hold the state, one per drive; several are striped");
  ssd.reals("weights", &SsdConfig::weights, above(0), "each path's share of the stripes, one per path; empty: as measured bandwidth gives");
  ssd.choice("engine", &SsdConfig::engine, "how reads and writes are issued; cufile: by GPUDirect Storage");
  ssd.choice("verify", &SsdConfig::verify,
             "what is checked against the checksum of what was written; always: every read; resume: the state that a run goes on "
             "from");
}

void run_keys(std::vector<Key>& keys) {
  SectionKeys run(
      keys, "run.", [](auto& config) -> auto& { return config.run; });
  run.path("dir", &RunConfig::dir, "", "a path, not empty", false, "the run's own folder");
  run.integer("commit_every", &RunConfig::commit_every, count(1), "steps between two commits");
  run.choice("durability", &RunConfig::durability, "off: nothing is durable until a clean end");
  run.integer("snapshot_every", &RunConfig::snapshot_every, count(0), "keep a copy of the committed state every so many steps; 0: none");
  run.integer("snapshot_keep", &RunConfig::snapshot_keep, count(1), "copies kept, the last ones");
  run.text("metrics", &RunConfig::metrics, "text: a file, or \"\" for none", any_text,
           "one JSON object a step; relative to `run.dir`, whoever set it");
  run.text("trace", &RunConfig::trace, "text: a file, or \"\" for none", any_text,
           "Chrome/Perfetto trace of some steps; relative to `run.dir`, whoever set it");
  run.pair("trace_steps", &RunConfig::trace_first, &RunConfig::trace_last, count(1), true, "first and last step in the trace");
}

void adapter_keys(std::vector<Key>& keys) {
  SectionKeys adapter(
      keys, "adapter.", [](auto& config) -> auto& { return config.adapter; });
  adapter.integer("rank", &AdapterConfig::rank, between(0, 65536),
                  "of each adapter's two matrices; 0: there is no adapter, the whole model is trained; 16 where the table is there and does not say");
  adapter.real("alpha", &AdapterConfig::alpha, above(0), "an adapter's output is multiplied by alpha / rank; rslora: by alpha / sqrt(rank)");
  adapter.real("dropout", &AdapterConfig::dropout, Range{.low = 0, .high = 1, .open_high = true}, "probability of dropping an element of an adapter's input");
  adapter.texts("targets", &AdapterConfig::targets, "modules that get one, by Hugging Face's names such as `q_proj`; `linear`: every matrix of the blocks");
  adapter.texts("train_whole", &AdapterConfig::train_whole, "modules trained whole beside the adapters, by how Hugging Face's names end: `embed_tokens`, `lm_head`, `norm` (every norm) and the like");
  adapter.choice("variant", &AdapterConfig::variant, "rslora: scaled by alpha / sqrt(rank); dora: with the length of each row trained by itself");
  adapter.path("base", &AdapterConfig::base, "", "text: a folder, or \"\" for none", true,
               "a folder that `gsnake quantize` made, read and never written; \"\": the weights of `model.from`, kept in the run as `train.dtype`");
  adapter.path("from", &AdapterConfig::from, "", "text: a folder, or \"\" for none", true, "a PEFT folder whose adapter a new run goes on from; \"\": one that changes nothing yet");
}

void ranks_keys(std::vector<Key>& keys) {
  SectionKeys ranks(
      keys, "ranks.", [](auto& config) -> auto& { return config.ranks; });
  ranks.duration("timeout", &RanksConfig::timeout, between(1, 86400), "without a sign of life from a rank: the others stop, with exit status 8");
}

void emulate_keys(std::vector<Key>& keys) {
  SectionKeys emulate(
      keys, "emulate.", [](auto& config) -> auto& { return config.emulate; });
  emulate.rate("ssd_read", &EmulateConfig::ssd_read, false, "caps reads from SSD, all paths together");
  emulate.rate("ssd_write", &EmulateConfig::ssd_write, false, "caps writes to SSD, all paths together");
  emulate.rate("h2d", &EmulateConfig::h2d, false, "caps copies from host to device");
  emulate.rate("d2h", &EmulateConfig::d2h, false, "caps copies from device to host");
  emulate.rate("optimizer", &EmulateConfig::optimizer, false, "caps the optimizer, by the bytes of state it reads and writes");
  emulate.rate("compute", &EmulateConfig::compute, true, "caps the units' computation");
  emulate.rate("collective", &EmulateConfig::collective, false, "caps communication between ranks");
}

}  // namespace

std::vector<Key> build_keys() {
  std::vector<Key> keys;
  model_keys(keys);
  rope_scaling_keys(keys);
  data_keys(keys);
  train_keys(keys);
  optimizer_keys(keys);
  memory_keys(keys);
  placement_keys(keys);
  ssd_keys(keys);
  run_keys(keys);
  adapter_keys(keys);
  ranks_keys(keys);
  emulate_keys(keys);
  return keys;
}

}  // namespace gsnake::config
