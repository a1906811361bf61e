// One pass over the weights, for tokens of any number of texts.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "device/device.h"
#include "generate/cache_memory.h"
#include "generate/weight_feed.h"
#include "greedysnake/unit.h"
#include "model/token_cache.h"
#include "torch/backend.h"

namespace gsnake::generate {

// Tokens of a text, of which so many were computed before.
struct TextPiece {
  int text = 0;
  std::int64_t past = 0;
  std::int64_t tokens = 0;
};

// Tokens that are computed at once: with a cache those of the pieces, without one all of a text.
struct Part {
  std::vector<std::int64_t> ids;
  std::vector<TextPiece> pieces;
};

// What a pass may hold.
struct PassShape {
  std::int64_t tokens = 1;
  std::int64_t parts = 1;
  std::int64_t part_tokens = 1;

  [[nodiscard]] std::uint64_t state_bytes(std::uint64_t row_bytes) const;  // of hidden states
  [[nodiscard]] std::uint64_t id_bytes() const;                            // of ids and positions
};

class PassRunner {
 public:
  // The head and its input (1, tokens, hidden) of a part, in the compute dtype; on the compute lane.
  using HeadSink = std::function<void(std::size_t part, HeadUnit& head, const torch::Tensor& hidden)>;

  // Everything is borrowed; cache: null where units are called without. Throws Error(budget).
  PassRunner(const plan::ModelLayout& layout, backend::TorchBackend& backend, const backend::ComputeShape& compute, device::Device& device, WeightFeed& feed, CacheMemory* cache,
             const PassShape& shape);

  // Returns when all of it is computed. Pieces of one text stand in the order of their tokens, and go on from what passes before have computed.
  void run(std::span<const Part> parts, const HeadSink& sink);
  // Whether a pass has failed: weights and cache stand in the middle of the model, and no other can follow.
  [[nodiscard]] bool broken() const { return broken_; }

 private:
  void compute_all(std::size_t parts);
  void finish();
  void place(std::span<const Part> parts);
  void compute(const device::ComputeScope& scope, int unit, std::size_t part, std::span<const runtime::UsedObject> uses);
  [[nodiscard]] std::vector<model::CachedText> cached_texts(const device::ComputeScope& scope, int unit, const Part& part) const;
  [[nodiscard]] device::DevicePtr at(std::size_t part) const { return states_.data() + state_offset_[part]; }

  const plan::ModelLayout& layout_;
  backend::TorchBackend& backend_;
  const backend::ComputeShape compute_;
  device::Device& device_;
  WeightFeed& feed_;
  CacheMemory* const cache_;
  const PassShape shape_;
  const std::uint64_t row_bytes_;
  device::DeviceMemory states_;
  device::HostMemory host_ids_;  // and positions behind them
  device::DeviceMemory ids_;
  std::unique_ptr<device::Event> end_;
  // Of the pass in hand.
  std::span<const Part> parts_;
  const HeadSink* sink_ = nullptr;
  std::size_t part_ = 0;  // that is computed
  std::vector<std::uint64_t> state_offset_;
  std::vector<std::uint64_t> id_offset_;
  std::vector<TextGrowth> growth_;
  std::int64_t most_positions_ = 0;
  bool broken_ = false;
};

}  // namespace gsnake::generate
