#include "optim/optimizer.h"

namespace gsnake::optim {
namespace {

class AdamW final : public Optimizer {
 public:
  explicit AdamW(const AdamWHyper& hyper) : hyper_(hyper) {}

  [[nodiscard]] std::vector<std::uint64_t> state_bytes() const override { return {sizeof(float), sizeof(float)}; }

  void update(const StepScalars& scalars, const UpdateChunk& chunk) const override {
    const auto floats = [&](std::byte* data) { return std::span<float>(reinterpret_cast<float*>(data), chunk.elements); };
    adamw_update(make_adamw_step(hyper_, scalars.learning_rate, scalars.updates), {floats(chunk.weight),
                                                                                   floats(chunk.states[0]),
                                                                                   floats(chunk.states[1]),
                                                                                   {chunk.gradient, chunk.elements},
                                                                                   chunk.first_element,
                                                                                   chunk.runs});
  }

 private:
  AdamWHyper hyper_;
};

}  // namespace

std::unique_ptr<Optimizer> make_adamw(const AdamWHyper& hyper) { return std::make_unique<AdamW>(hyper); }

}  // namespace gsnake::optim
