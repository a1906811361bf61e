#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "hf/model_config.h"
#include "refusal_only.h"

// Whatever is accepted can be written and read again, to the same sizes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return gsnake::fuzz::refusal_only([&] {
    const gsnake::ModelConfig model = gsnake::hf::parse_model_config("config.json", {reinterpret_cast<const char*>(data), size});
    const gsnake::hf::Json written = gsnake::hf::make_model_config(model, gsnake::hf::Dtype::fp32, {});
    const gsnake::ModelConfig again = gsnake::hf::parse_model_config("config.json", written.dump());
    const bool same = again.hidden == model.hidden && again.layers == model.layers && again.heads == model.heads &&
                      again.vocab == model.vocab && again.context == model.context && again.sliding_window == model.sliding_window &&
                      again.rope_scaling.type == model.rope_scaling.type;
    if (!same) std::abort();
  });
}
