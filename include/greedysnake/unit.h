// A model is a sequence of units: what is streamed at once. A unit's code is an ordinary torch::nn::Module.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "greedysnake/batch.h"

namespace gsnake {

// A unit in the middle of a model: hidden states in, hidden states out, both (rows, tokens, hidden), contiguous, in the compute dtype.
// One instance serves all units of the same shape: the runtime rebinds its parameters to slots, so a module keeps no state of its own
// besides parameters (buffers that depend on the shape alone are fine) and must not hold on to a parameter's storage between calls.
// forward() is called twice per micro-batch (forward, and recomputation in backward) and must give the same bits both times: it draws
// random numbers from torch's default generator only, which the runtime seeds by (seed, step, unit, micro-batch) before each call.
// A parameter that requires no gradient (register_parameter(name, tensor, false)) is frozen: it is read, and never written, and has neither
// gradient nor optimizer state.
class Unit : public torch::nn::Module {
 public:
  using torch::nn::Module::Module;  // with a name for messages; else the class's own
  virtual torch::Tensor forward(const torch::Tensor& hidden) = 0;
};

// The first unit: token ids (rows, tokens) int64 in, hidden states out.
class EmbeddingUnit : public torch::nn::Module {
 public:
  using torch::nn::Module::Module;
  virtual torch::Tensor forward(const torch::Tensor& ids) = 0;
};

// The last unit. The runtime feeds it chunks of token rows, so that logits exist for one chunk at a time.
class HeadUnit : public torch::nn::Module {
 public:
  using torch::nn::Module::Module;
  virtual torch::Tensor logits(const torch::Tensor& hidden) = 0;  // (n, hidden) -> (n, vocab)
  // Sum of the rows' losses (not the mean), fp32 scalar; rows labelled `kIgnoredLabel` count as 0. Cross-entropy unless overridden.
  virtual torch::Tensor loss_sum(const torch::Tensor& hidden, const torch::Tensor& labels);
};

// All units that share one module instance.
struct UnitKind {
  std::string name;                           // "block"
  std::shared_ptr<torch::nn::Module> module;  // an EmbeddingUnit, Unit or HeadUnit; parameters on the meta device cost no memory
  double forward_flops_per_token = 0.0;       // for plans and progress; 0: 2 x parameters
};

// Fills the parameters of unit `unit` (an instance of its kind, bound to fp32 memory) with initial values. Called once per unit in unit
// order with the default generator seeded by (seed, unit), so that a model larger than memory is never constructed. A head's tied parameter
// is the embedding's: leave it alone.
using Initializer = std::function<void(torch::nn::Module& module, std::int64_t unit)>;

// A parameter of the head that is the same stored tensor as one of the embedding's: both names are as in named_parameters().
struct TiedParameter {
  std::string embedding_name;
  std::string head_name;
};

// What a parameter is called in a folder of Hugging Face's layout.
struct TensorName {
  int kind = 0;              // of the unit: index into Model::kinds
  std::string parameter;     // as in named_parameters()
  std::string name;          // there; {} stands for the block's number: unit u is block u - 1
  bool transposed = false;   // a matrix (out, in) that is stored as (in, out)
  bool adapter = false;      // it stands in an adapter's folder, not in the model's
};

struct NameMap {
  std::vector<TensorName> tensors;  // each parameter once; a tied head's shared one may be left out
  std::string base_prefix;          // that names begin with, and that a folder with the model without its head leaves out
  std::vector<std::string> ignored_endings;  // of names of tensors that hold no parameter: masks, tables of rotary positions
};

struct Model {
  std::vector<UnitKind> kinds;
  std::vector<int> units;  // kind of each unit: embedding, blocks..., head
  Initializer initialize;
  Initializer initialize_adapter;  // of adapters' parameters alone, seeded by (seed, unit) likewise; empty: there are none
  std::vector<TiedParameter> tied;  // at most one
  std::int64_t hidden = 0;          // last dimension of the hidden states
  std::int64_t vocab = 0;
  std::int64_t max_context = 0;  // tokens a row may have at most
  NameMap names;                 // for import and export; empty: the model has neither
};

}  // namespace gsnake
