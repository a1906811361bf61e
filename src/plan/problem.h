// From a config and a model's shapes to the schedule's problem.
#pragma once

#include <cstdint>

#include "greedysnake/config.h"
#include "plan/model_layout.h"
#include "plan/numerics.h"
#include "schedule/problem.h"

namespace gsnake::plan {

enum class Purpose : std::uint8_t {
  train,
  sample,  // forward passes only: no optimizer state, one row, one micro-batch, nothing placed off the SSD
};

// Of a micro-batch. A row of preferences is two: the preferred answer and the other.
std::int64_t rows_of(const Config& config, Purpose purpose);
// Of each in the hidden states: preferences are computed by the model and by the reference.
std::int64_t passes_of(const Config& config, Purpose purpose);
std::int64_t tokens_of(const Config& config, Purpose purpose);
// Doubles that the head tells of a micro-batch with so many passes: its loss; of preferences also the sums of model::Preference.
constexpr std::int64_t head_results(std::int64_t passes) { return passes == 1 ? 1 : 4; }

inline constexpr std::uint64_t kLargestChunk = 1ULL << 20;  // elements
// Of the chunks that objects are cut into, at most: of what one of so many ranks owns of them.
std::uint64_t chunk_elements(const ModelLayout& layout, int ranks = 1);

// To train, it is that of the config's rank, which takes its share of the micro-batches; to sample, there is one rank. one_memory: the device's memory is
// the host's own, where activations that the config puts on the host stay on the device: it is the same memory, and there is nothing to copy.
schedule::Problem make_problem(const Config& config, const Numerics& numerics, const ModelLayout& layout, Purpose purpose, bool one_memory = false);

// Of what a rank gets of sums over all of several ranks: bytes. 0 where there is one.
std::uint64_t largest_gradient_part(const schedule::Problem& problem);

// What training wholly in memory holds: weights, gradients, moments, and the checkpoints of every micro-batch.
std::uint64_t in_memory_bytes(const schedule::Problem& problem);

}  // namespace gsnake::plan
