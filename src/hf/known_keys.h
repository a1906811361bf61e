// Keys of config.json that mean the same in every family.
#pragma once

#include "hf/config_reader.h"

namespace gsnake::hf {

// Takes those that say nothing of what the model computes: of generation, tokenizers, tasks, dtypes, the program that wrote the file.
// Refuses those by which transformers computes something that this build does not, whatever the family.
void read_common_keys(ConfigReader& reader);

}  // namespace gsnake::hf
