// Frozen weights that are packed in slots, in the dtype that modules compute in.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "greedysnake/unit.h"
#include "memory/anonymous.h"
#include "model/binding.h"
#include "model/linear.h"
#include "plan/model_layout.h"
#include "torch/device_support.h"
#include "torch/packed_ops.h"

namespace gsnake::backend {

class SlotRows;

// Where a unit's matrices take at most `most_bytes`, they are dequantised once a visit; else in parts, whenever one is multiplied with. Memory, the
// device's own, is taken at construction. Model, layout and accelerator (null: the CPU) are borrowed. One thread at a time.
class PackedWeights {
 public:
  // Throws Error(budget) where the device has no room, Error(usage) where the accelerator or a unit's layers can't compute with packed weights.
  PackedWeights(Model& model, const plan::ModelLayout& layout, at::ScalarType compute, std::uint64_t most_bytes, DeviceSupport* accelerator);
  ~PackedWeights();
  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

  // Lets the unit's module compute with what is frozen of it: the object, in the slot at `packed`. opens: the slot's content may be new.
  void bind(int unit, int object, const std::byte* packed, bool opens, model::ParameterSet& parameters);
  // Lets a tied head use the embedding's object, in the slot at `packed`.
  void bind_tied(const std::byte* packed);
  // Slots are gone.
  void forget() noexcept;

  // Elements of matrices that were dequantised so far, each as often as it was.
  [[nodiscard]] std::uint64_t dequantised() const noexcept { return dequantised_; }

 private:
  // Of the device: mapped, or its own.
  struct Buffer {
    memory::AnonymousMemory mapped;
    std::shared_ptr<std::byte> allocated;
    [[nodiscard]] std::byte* data() const { return allocated ? allocated.get() : mapped.data(); }
  };
  struct Shape;
  [[nodiscard]] Buffer buffer(std::uint64_t elements) const;
  [[nodiscard]] c10::Device device() const { return accelerator_ == nullptr ? c10::Device(c10::kCPU) : accelerator_->device(); }
  [[nodiscard]] std::uint64_t padded_bytes(std::int64_t elements) const;
  Shape& shape_of(int unit) { return *shapes_[static_cast<std::size_t>(layout_.units[static_cast<std::size_t>(unit)])]; }

  const plan::ModelLayout& layout_;
  const at::ScalarType compute_;
  DeviceSupport* const accelerator_;
  const PackedOps* ops_ = &cpu_packed_ops();
  Buffer whole_;
  Buffer part_;
  Buffer vectors_;
  std::vector<std::unique_ptr<Shape>> shapes_;  // by the layout's shapes; null: nothing of it is packed
  std::unique_ptr<SlotRows> tied_;              // the head's view of the embedding's
  model::Linear* tied_head_ = nullptr;
  const std::byte* in_whole_ = nullptr;         // the slot whose matrices whole_ has, and of which object
  int whole_object_ = -1;
  const std::byte* in_vectors_ = nullptr;
  int vectors_object_ = -1;
  std::atomic<std::uint64_t> dequantised_ = 0;  // read beside the step that follows
};

}  // namespace gsnake::backend
