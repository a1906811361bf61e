// What the compute lane asks of a model: run one task on the memory of slots.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "device/pointer.h"
#include "schedule/graph.h"

namespace gsnake::runtime {

// One step's data and results. Owned by the caller, who keeps it until the step's results were awaited; what the ids point to is copied when
// the step is started.
struct StepBatch {
  std::int64_t step = 0;                 // attempts, from 1; seeds dropout
  bool training = true;                  // dropout on
  std::span<const std::int64_t> inputs;  // (micro_batches, rows, tokens), or the beginning of that
  std::span<const std::int64_t> labels;  // likewise
  float loss_factor = 1.0F;              // 1 / counted tokens of the step
  std::span<const std::vector<std::int32_t>> starts;  // by row: where packed documents begin in it, the first at 0; empty: a row is one. Not copied
  std::vector<double> losses;            // by micro-batch of all ranks, one rank's after another's: sums of token losses times loss_factor; there once the results are
  std::vector<double> sums;              // by micro-batch likewise, what else the head tells of it, as wide as Problem::result_bytes has it; likewise
};

// An object that a unit computes with, in its slots.
struct UsedObject {
  int object = 0;
  device::DevicePtr weights = {};    // flat, as they are stored: in the object's dtype, or packed
  device::DevicePtr gradients = {};  // fp32, flat, one an element; null where none is asked for: in a forward pass, of a frozen object
  bool first = false;                // zero `gradients` first
};

// A compute task with its slots resolved: all that a unit knows of its step. Pointers that the task's op does not use are null.
struct ComputeCall {
  schedule::Op op = schedule::Op::forward;
  int unit = 0;
  int micro_batch = 0;               // of all ranks'
  std::int64_t step = 0;             // of the batch, as the next three
  bool training = true;
  float loss_factor = 1.0F;
  std::span<const std::vector<std::int32_t>> starts;  // of the micro-batch, by row
  bool kept = false;                 // forward: what backward needs stays, until backward with the same unit and micro-batch, which has no input, has used it up
  bool opens = true;                 // the first task of a visit: the weights are new; when in doubt true, which costs time alone
  std::span<const UsedObject> uses;  // in the order of schedule::Unit::objects
  device::DevicePtr ids;             // int64 (rows, tokens): token ids for unit 0, labels for the head
  device::DevicePtr input;           // (rows, tokens, hidden), in the storage dtype
  device::DevicePtr output_gradient;
  device::DevicePtr output;          // hidden states; of backward and head: the gradient of the input, null where nothing below is trained
  device::DevicePtr loss;            // of head and head_forward: the micro-batch's, Problem::result_bytes of doubles
  float loss_scale = 1.0F;           // of head: multiplies the gradient that backward starts from, not the loss
};

class ComputeBackend {
 public:
  virtual ~ComputeBackend() = default;
  // Called inside the device's compute guard, one call after another: on the compute lane's thread or the device's own.
  virtual void run(const device::ComputeScope& scope, const ComputeCall& call) = 0;
};

}  // namespace gsnake::runtime
