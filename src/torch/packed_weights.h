// Frozen weights that are packed in slots, in the dtype that modules compute in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "greedysnake/unit.h"
#include "memory/anonymous.h"
#include "model/binding.h"
#include "model/linear.h"
#include "plan/model_layout.h"

namespace gsnake::backend {

class SlotRows;

// Where a unit's matrices take at most `most_bytes`, they are dequantised once a visit; else in parts, whenever one is multiplied with. Memory is
// mapped at construction. Model and layout are borrowed. One thread.
class PackedWeights {
 public:
  PackedWeights(Model& model, const plan::ModelLayout& layout, at::ScalarType compute, std::uint64_t most_bytes);
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
  struct Shape;
  Shape& shape_of(int unit) { return *shapes_[static_cast<std::size_t>(layout_.units[static_cast<std::size_t>(unit)])]; }

  const plan::ModelLayout& layout_;
  const at::ScalarType compute_;
  memory::AnonymousMemory whole_;
  memory::AnonymousMemory part_;
  memory::AnonymousMemory vectors_;
  std::vector<std::unique_ptr<Shape>> shapes_;  // by the layout's shapes; null: nothing of it is packed
  std::unique_ptr<SlotRows> tied_;              // the head's view of the embedding's
  model::Linear* tied_head_ = nullptr;
  const std::byte* in_whole_ = nullptr;         // the slot whose matrices whole_ has, and of which object
  int whole_object_ = -1;
  const std::byte* in_vectors_ = nullptr;
  int vectors_object_ = -1;
  std::uint64_t dequantised_ = 0;
};

}  // namespace gsnake::backend
