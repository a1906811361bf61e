#include "measure/updates.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <utility>

#include "optim/norm.h"

namespace gsnake::measure {
namespace {

constexpr std::uint64_t kChunkElements = 64 * optim::kNormBlock;

std::unique_ptr<optim::Optimizer> adamw(optim::WeightFormat format) {
  optim::OptimizerSpec spec;
  spec.weights = format;
  return optim::make_optimizer(spec);
}

std::uint64_t whole_blocks(std::uint64_t elements) { return std::max<std::uint64_t>(1, elements / optim::kNormBlock) * optim::kNormBlock; }

struct Part {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

// Of whole norm blocks; some are empty where there are fewer blocks than threads.
Part part_of(std::uint64_t elements, unsigned threads, unsigned index) {
  const std::uint64_t blocks = elements / optim::kNormBlock;
  return {blocks * index / threads * optim::kNormBlock, blocks * (index + 1) / threads * optim::kNormBlock};
}

// A thread that goes over its part again and again in chunks. `work(begin, end)`.
template <typename Work>
Load::Body over_and_over(Part part, double bytes_of_element, Work work) {
  return [part, bytes_of_element, work](const std::stop_token& stop, Counter& counter) {
    std::uint64_t begin = part.begin;
    while (!stop.stop_requested() && part.end > part.begin) {
      const std::uint64_t end = std::min(begin + kChunkElements, part.end);
      work(begin, end);
      counter.add(static_cast<double>(end - begin) * bytes_of_element);
      begin = end == part.end ? part.begin : end;
    }
  };
}

std::unique_ptr<Load> start_additions(std::span<float> destination, std::span<const float> source, unsigned threads) {
  constexpr double kBytesOfElement = 3.0 * sizeof(float);
  std::vector<Load::Body> bodies;
  for (unsigned i = 0; i < threads; ++i) {
    bodies.push_back(over_and_over(part_of(destination.size(), threads, i), kBytesOfElement, [=](std::uint64_t begin, std::uint64_t end) {
      optim::add_in_place(destination.subspan(begin, end - begin), source.subspan(begin, end - begin));
    }));
  }
  return std::make_unique<Load>("memory's bandwidth", std::move(bodies), threads);
}

// Of several looks at it: what memory can do is what it did when others left it alone.
double best_rate(const std::unique_ptr<Load>& load, const Patience& patience) {
  constexpr int kLooks = 3;
  double best = 0.0;
  for (int i = 0; i < kLooks; ++i) {
    best = std::max(best,
                    observe(std::array<const Load*, 1>{load.get()}, {patience.seconds / kLooks, patience.most_seconds}).per_second.front());
  }
  return best;
}

}  // namespace

Updates::Updates(optim::WeightFormat format, std::uint64_t bytes)
    : optimizer_(adamw(format)), arrays_(*optimizer_, whole_blocks(bytes / update_bytes(*optimizer_).read)) {
  arrays_.fill(0, arrays_.elements());
}

std::unique_ptr<Load> Updates::start(unsigned threads) {
  std::vector<Load::Body> bodies;
  for (unsigned i = 0; i < threads; ++i) {
    const auto update = [this, runs = std::array{optim::DecayRun{0, arrays_.elements(), true}}](std::uint64_t begin, std::uint64_t end) {
      optim::UpdateChunk chunk = arrays_.chunk(begin, end, true);
      chunk.runs = runs;
      if (!optimizer_->update({.learning_rate = 1e-4, .updates = 10}, chunk)) std::abort();  // the values that fill() writes can't
    };
    bodies.push_back(over_and_over(part_of(arrays_.elements(), threads, i), static_cast<double>(update_bytes(*optimizer_).all()), update));
  }
  return std::make_unique<Load>(std::string("updates of ") + word_of(optimizer_->weight_format()) + " weights", std::move(bodies), threads);
}

double measure_bandwidth(unsigned threads, std::uint64_t bytes, const Patience& patience) {
  const Patience half{patience.seconds / 2.0, patience.most_seconds};
  double best = 0.0;
  {
    const std::uint64_t elements = whole_blocks(bytes / (2 * sizeof(float)));
    const HugeArray destination(elements * sizeof(float));
    const HugeArray source(elements * sizeof(float));
    const std::span<float> sums{reinterpret_cast<float*>(destination.data()), elements};
    const std::span<float> addends{reinterpret_cast<float*>(source.data()), elements};
    std::fill(sums.begin(), sums.end(), 0.0F);
    std::fill(addends.begin(), addends.end(), 0.0F);
    best = best_rate(start_additions(sums, addends, threads), half);
  }
  Updates updates(optim::WeightFormat::fp32, bytes);
  return std::max(best, best_rate(updates.start(threads), half));
}

}  // namespace gsnake::measure
