// The streams that a config asks for.
#pragma once

#include <cstdint>

#include "data/batches.h"
#include "greedysnake/config.h"

namespace gsnake::data {

// data.train in data.order: each batch is one step of train.micro_batches x train.micro_batch_size rows. Throws Error(input).
BatchStream open_training(const Config& config);

struct Validation {
  BatchStream stream;
  std::int64_t batches = 0;  // to take from the start each time (stream.seek(0))
};

// data.validation, which must not be empty, in the files' order, one micro-batch at a time. `batches` is train.validation_batches, or fewer
// where the files hold fewer, so that no window counts twice; 1 at least. Throws Error(input).
Validation open_validation(const Config& config);

}  // namespace gsnake::data
