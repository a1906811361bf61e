// The streams that a config asks for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/batches.h"
#include "greedysnake/config.h"

namespace gsnake::data {

// data.train in data.order, without what data.validation_split holds out: each batch is one step of train.micro_batches x
// train.micro_batch_size rows. Throws Error(input), Error(usage).
BatchStream open_training(const Config& config);

struct Validation {
  BatchStream stream;
  std::int64_t batches = 0;  // to take from the start each time (stream.seek(0))
};

// data.validation, or what data.validation_split holds out of data.train (one of them is given), in the files' order, one micro-batch at a
// time. `batches` is train.validation_batches, or fewer where there are fewer, so that no window counts twice; 1 at least. Throws
// Error(input), Error(usage).
Validation open_validation(const Config& config);

// A line on each part: files, formats, tokens, windows, and how often `rows` rows of training pass over them.
std::vector<std::string> describe(const BatchStream& stream, std::uint64_t rows);

}  // namespace gsnake::data
