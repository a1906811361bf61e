// Copies between host and device as a step makes them, beside a plain copy: what `gsnake bench copy` measures.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device/measure.h"

namespace gsnake::bench {

struct CopyOptions {
  std::string device = "cpu";
  std::uint64_t bytes = 256ULL << 20U;       // of each direction
  std::uint64_t chunk_bytes = 4ULL << 20U;   // of one copy of a step, each with its event
  int repeats = 9;
};

// Rates in 1e9 bytes a second.
struct CopyResult {
  std::string what;  // "h2d", "d2h", "both" (of the two together)
  Range chunks;      // on the stream of each direction, in chunks
  Range plain;       // one call for all; of both: the two calls at once
  Range ratio;       // chunks over plain, round by round
};

struct CopyReport {
  CopyOptions options;
  std::vector<CopyResult> results;
};

// One warm-up, then `repeats` rounds of all of them in turn. Throws Error(usage) where the device can't be had.
CopyReport bench_copy(const CopyOptions& options);

}  // namespace gsnake::bench
