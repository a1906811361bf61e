#include "optim/adamw.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "greedysnake/error.h"
#include "optim/kernels.h"

namespace gsnake::optim {
namespace {

// A piece that starts off a cache line would make every vector of it straddle two.
constexpr std::size_t kLineElements = 16;

std::atomic<const Kernels*> forced{nullptr};

const Kernels& kernels_for(Target target) {
  if (target == Target::scalar) return scalar_kernels();
  if (const Kernels* table = forced.load(std::memory_order_relaxed)) return *table;
  const auto simd = simd_kernels();
  return simd.empty() ? scalar_kernels() : *simd.front();
}

void check_sizes(bool equal, const char* what) {
  if (!equal) throw Error(ErrorKind::usage, std::string(what) + ": the spans' sizes do not fit together; pass spans of one chunk");
}

struct Piece {
  std::size_t begin;
  std::size_t end;
  float decay;
};

void update_piece(const Kernels& kernels, const AdamWStep& step, const AdamWChunk& chunk, const Piece& piece) {
  const auto update = [&](const Kernels& table, std::size_t begin, std::size_t end) {
    table.adamw(step, piece.decay, chunk.weight.data() + begin, chunk.moment1.data() + begin, chunk.moment2.data() + begin,
                chunk.gradient.data() + begin, end - begin);
  };
  const std::size_t aligned = (piece.begin + kLineElements - 1) / kLineElements * kLineElements;
  const std::size_t head_end = std::min(aligned, piece.end);
  update(scalar_kernels(), piece.begin, head_end);
  update(kernels, head_end, piece.end);
}

}  // namespace

AdamWStep make_adamw_step(const AdamWHyper& hyper, double learning_rate, std::int64_t t) {
  const auto updates = static_cast<double>(t);
  AdamWStep step;
  step.learning_rate = static_cast<float>(learning_rate);
  step.beta1 = static_cast<float>(hyper.beta1);
  step.beta2 = static_cast<float>(hyper.beta2);
  step.one_minus_beta1 = static_cast<float>(1.0 - hyper.beta1);
  step.one_minus_beta2 = static_cast<float>(1.0 - hyper.beta2);
  step.step_size = static_cast<float>(learning_rate / (1.0 - std::pow(hyper.beta1, updates)));
  step.inverse_sqrt_correction2 = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(hyper.beta2, updates)));
  step.epsilon = static_cast<float>(hyper.epsilon);
  step.decay_factor = static_cast<float>(1.0 - learning_rate * hyper.weight_decay);
  return step;
}

void adamw_update(const AdamWStep& step, const AdamWChunk& chunk, Target target) {
  const std::size_t size = chunk.weight.size();
  check_sizes(chunk.moment1.size() == size && chunk.moment2.size() == size && chunk.gradient.size() == size, "adamw_update");
  const Kernels& kernels = kernels_for(target);
  auto run = std::upper_bound(chunk.runs.begin(), chunk.runs.end(), chunk.first_element,
                              [](std::uint64_t element, const DecayRun& candidate) { return element < candidate.end; });
  for (std::size_t begin = 0; begin < size;) {
    const std::uint64_t element = chunk.first_element + begin;
    std::uint64_t piece_end = chunk.first_element + size;
    bool decays = false;
    if (run != chunk.runs.end()) {
      const bool inside = run->begin <= element;
      decays = inside && run->decays;
      piece_end = std::min(piece_end, inside ? run->end : run->begin);
      if (inside) ++run;
    }
    const auto end = static_cast<std::size_t>(piece_end - chunk.first_element);
    update_piece(kernels, step, chunk, {begin, end, decays ? step.decay_factor : 1.0F});
    begin = end;
  }
}

void square_sums(std::span<const float> gradient, std::span<double> partials, Target target) {
  check_sizes(gradient.size() == partials.size() * kNormBlock, "square_sums");
  kernels_for(target).square_sums(gradient.data(), partials.data(), partials.size());
}

void add_in_place(std::span<float> destination, std::span<const float> source, Target target) {
  check_sizes(destination.size() == source.size(), "add_in_place");
  kernels_for(target).add_in_place(destination.data(), source.data(), destination.size());
}

std::vector<std::string> supported_targets() {
  std::vector<std::string> names;
  for (const Kernels* table : simd_kernels()) names.emplace_back(table->name);
  names.emplace_back(scalar_kernels().name);
  return names;
}

void force_target(const std::string& name) {
  const Kernels* found = nullptr;
  for (const Kernels* table : simd_kernels()) {
    if (name == table->name) found = table;
  }
  if (name == scalar_kernels().name) found = &scalar_kernels();
  if (found == nullptr && !name.empty()) {
    std::string known;
    for (const std::string& target : supported_targets()) known += (known.empty() ? "" : ", ") + target;
    throw Error(ErrorKind::usage, "SIMD target \"" + name + "\" cannot run on this CPU or is unknown; choose one of " + known);
  }
  forced.store(found, std::memory_order_relaxed);
}

}  // namespace gsnake::optim
