// Rotary positions in config.json.
#pragma once

#include "greedysnake/model_config.h"
#include "hf/config_reader.h"

namespace gsnake::hf {

// transformers 4 writes rope_theta and rope_scaling, 5 both in rope_parameters. Where a value is there twice, both must be the same: the
// releases differ in which one they take. Needs model.context.
void read_rope(ConfigReader& reader, ModelConfig& model);

// In the older form, which every release reads.
void write_rope(Json& json, const ModelConfig& model);

}  // namespace gsnake::hf
