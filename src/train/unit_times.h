// How long each kind of unit takes on this machine.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "plan/temporaries.h"
#include "sim/profile.h"
#include "train/parts.h"

namespace gsnake::train {

// A model's units, ready to be computed over and over. One at a time in a process, and none beside a trainer at work.
class UnitBench {
 public:
  // The model is borrowed. Throws Error(usage) where the device can't be had, Error(budget) where a unit does not fit the device budget
  // even alone; told: now and then, may throw to end it.
  UnitBench(Model& model, const Config& config, const plan::ModelLayout& layout, const std::function<void()>& told = {});
  ~UnitBench();

  // Of LibTorch's temporaries, at the run's own sizes.
  [[nodiscard]] const plan::MeasuredPeaks& peaks() const;
  // Of each shape, a few rounds, each the median of a few times after a warm-up; keys as plan::unit_key().
  std::vector<sim::UnitTime> times(const std::function<void()>& told = {});
  // The same of a block alone.
  sim::UnitTime block_time();
  // How much slower a block is after a pause. Takes a second or two.
  sim::RestProfile rest();
  // A block's forward and backward, once: the seconds that they took.
  double compute_block();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// One of each key: the median of those that are about as fast as the fastest. Others were measured while something else had part of the processor.
std::vector<sim::UnitTime> usual_times(std::vector<sim::UnitTime> rounds);

}  // namespace gsnake::train
