#include "optim/optimizer.h"

#include <algorithm>
#include <cmath>

#include "greedysnake/error.h"
#include "optim/bits.h"
#include "optim/kernels.h"
#include "optim/rules.h"

namespace gsnake::optim {
namespace {

// A piece that starts off a cache line would make every vector of it straddle two.
constexpr std::uint64_t kLineElements = 16;
static_assert(kLineElements % kSumLanes == 0);

// Walks an object's runs from one element on.
class Decays {
 public:
  Decays(std::span<const DecayRun> runs, std::uint64_t element) : end_(runs.data() + runs.size()) {
    run_ = std::ranges::upper_bound(runs, element, {}, &DecayRun::end).base();
  }

  struct Part {
    std::uint64_t end;  // beyond `element`; what decays does not change before it
    bool decays;
  };
  // Elements are asked for in ascending order.
  [[nodiscard]] Part at(std::uint64_t element) {
    while (run_ != end_ && run_->end <= element) ++run_;
    if (run_ == end_) return {~std::uint64_t{0}, false};
    if (element < run_->begin) return {run_->begin, false};
    return {run_->end, run_->decays};
  }

 private:
  const DecayRun* run_ = nullptr;
  const DecayRun* end_ = nullptr;
};

class RuleOptimizer final : public Optimizer {
 public:
  RuleOptimizer(const OptimizerSpec& spec, Target target) : spec_(spec), target_(target) {}

  [[nodiscard]] WeightFormat weight_format() const override { return spec_.weights; }
  [[nodiscard]] std::vector<std::uint64_t> state_bytes() const override {
    return std::vector<std::uint64_t>(state_count(spec_.rule), moment_bytes(spec_.moments));
  }
  [[nodiscard]] bool update(const StepScalars& scalars, const UpdateChunk& chunk) const override;
  void restore_weight(const UpdateChunk& chunk) const override;

 private:
  [[nodiscard]] Piece piece(const UpdateChunk& chunk, std::uint64_t begin, std::uint64_t end, SumLanes* sums) const;
  void check(const UpdateChunk& chunk) const;

  OptimizerSpec spec_;
  Target target_;
};

Piece RuleOptimizer::piece(const UpdateChunk& chunk, std::uint64_t begin, std::uint64_t end, SumLanes* sums) const {
  const std::uint64_t moment = moment_bytes(spec_.moments);
  return {chunk.weight + begin * weight_bytes(spec_.weights),
          chunk.master + begin * master_bytes(spec_.weights),
          chunk.states[0] + begin * moment,
          chunk.states[1] == nullptr ? nullptr : chunk.states[1] + begin * moment,
          chunk.gradient + begin,
          end - begin,
          sums,
          begin % kSumLanes};
}

void RuleOptimizer::check(const UpdateChunk& chunk) const {
  bool complete = chunk.weight != nullptr && chunk.gradient != nullptr && (chunk.master != nullptr || spec_.weights == WeightFormat::fp32);
  for (std::size_t i = 0; i < state_count(spec_.rule); ++i) complete = complete && chunk.states[i] != nullptr;
  if (!complete && chunk.elements > 0)
    throw Error(ErrorKind::usage, std::string("optimizer ") + word_of(spec_.rule) + ": the chunk lacks one of its arrays; set them all");
  check_sizes(chunk.partials == nullptr || chunk.elements % kNormBlock == 0, "optimizer update with norm partials");
}

bool RuleOptimizer::update(const StepScalars& scalars, const UpdateChunk& chunk) const {
  check(chunk);
  const Kernels& kernels = kernels_for(target_);
  const std::size_t index = update_index(spec_.rule, spec_.weights, spec_.moments);
  const UpdateKernel simd = kernels.update[index];
  const UpdateKernel scalar = scalar_kernels().update[index];
  const RuleStep step = make_rule_step(spec_.rule, spec_, scalars);
  Decays decays(chunk.runs, chunk.first_element);
  SumLanes lanes{};
  std::uint32_t greatest = 0;
  for (std::uint64_t begin = 0, end = 0; begin < chunk.elements; begin = end) {
    const std::uint64_t block_end = chunk.partials == nullptr ? chunk.elements : (begin / kNormBlock + 1) * kNormBlock;
    const Decays::Part part = decays.at(chunk.first_element + begin);
    end = std::min(block_end, part.end - chunk.first_element);
    const float decay = part.decays ? step.decay : step.no_decay;
    const std::uint64_t aligned = std::min(end, (begin + kLineElements - 1) / kLineElements * kLineElements);
    SumLanes* const sums = chunk.partials == nullptr ? nullptr : &lanes;
    greatest =
        std::max({greatest, scalar(step, decay, piece(chunk, begin, aligned, sums)), simd(step, decay, piece(chunk, aligned, end, sums))});
    if (chunk.partials != nullptr && end % kNormBlock == 0) {
      chunk.partials[end / kNormBlock - 1] = fold_lanes(lanes);
      lanes = {};
    }
  }
  return greatest < unstorable_magnitude(spec_.weights);
}

void RuleOptimizer::restore_weight(const UpdateChunk& chunk) const {
  if (spec_.weights != WeightFormat::fp16) return;
  check(chunk);
  to_fp16({reinterpret_cast<const float*>(chunk.master), chunk.elements}, {reinterpret_cast<std::uint16_t*>(chunk.weight), chunk.elements},
          target_);
}

void check_range(bool inside, const char* what, double value, const char* range) {
  if (!inside) throw Error(ErrorKind::usage, std::string("optimizer: ") + what + " is " + std::to_string(value) + "; it must be " + range);
}

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const OptimizerSpec& spec, Target target) {
  if (!is_valid(spec.rule)) throw Error(ErrorKind::usage, "optimizer: the rule is none; choose one of " + listed_words<UpdateRule>());
  check_range(spec.beta1 >= 0 && spec.beta1 < 1, "beta1", spec.beta1, "at least 0 and below 1");
  check_range(spec.beta2 >= 0 && spec.beta2 < 1, "beta2", spec.beta2, "at least 0 and below 1");
  check_range(spec.epsilon >= 0 && std::isfinite(spec.epsilon), "epsilon", spec.epsilon, "at least 0");
  check_range(spec.weight_decay >= 0 && std::isfinite(spec.weight_decay), "weight decay", spec.weight_decay, "at least 0");
  return std::make_unique<RuleOptimizer>(spec, target);
}

void check_sizes(bool equal, const char* what) {
  if (!equal) throw Error(ErrorKind::usage, std::string(what) + ": the spans' sizes do not fit together; pass spans of one chunk");
}

}  // namespace gsnake::optim
