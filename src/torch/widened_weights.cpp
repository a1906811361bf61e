#include "torch/widened_weights.h"

#include <torch/torch.h>

#include "core/bytes.h"

namespace gsnake::backend {
namespace {

constexpr std::uint64_t kPage = 4096;

}  // namespace

WidenedWeights::WidenedWeights(const plan::ModelLayout& layout, at::ScalarType storage, at::ScalarType compute)
    : layout_(layout), storage_(storage), compute_(compute) {
  if (!active()) return;
  const plan::WidenedElements widened = plan::widened_elements(layout);
  const auto buffer = [&](std::uint64_t elements) {
    return memory::AnonymousMemory(core::round_up(elements * c10::elementSize(compute), kPage));
  };
  alone_.memory = buffer(widened.alone);
  beside_.memory = buffer(widened.beside);
  shared_.memory = buffer(widened.shared);
}

WidenedWeights::Buffer& WidenedWeights::buffer_of(int object) {
  const auto o = static_cast<std::size_t>(object);
  return layout_.is_shared(o) ? shared_ : o < layout_.units.size() ? alone_ : beside_;
}

std::byte* WidenedWeights::widen(int object, std::byte* weights, bool opens) {
  Buffer& buffer = buffer_of(object);
  if (!opens && buffer.object == object && buffer.weights == weights) return buffer.memory.data();
  buffer.object = object;
  buffer.weights = weights;
  const auto elements = static_cast<std::int64_t>(layout_.flat(static_cast<std::size_t>(object)).elements);
  const torch::NoGradGuard no_grad;
  torch::from_blob(buffer.memory.data(), {elements}, compute_).copy_(torch::from_blob(weights, {elements}, storage_));
  return buffer.memory.data();
}

void WidenedWeights::forget() {
  alone_.object = -1;
  beside_.object = -1;
  shared_.object = -1;
}

}  // namespace gsnake::backend
