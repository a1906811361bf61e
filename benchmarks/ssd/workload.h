// One measurement of a drive: blocks in sequence, so many in flight from first to last.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "io/aligned_buffer.h"
#include "io/engine.h"
#include "measure/test_files.h"

namespace gsnake::bench {

// mix: reads and writes by Setting::read_share.
enum class Mode : std::uint8_t { read, write, mix };
[[nodiscard]] std::string_view name_of(Mode mode) noexcept;

// Of a training step in fp32: 16 bytes read and 12 written a parameter.
inline constexpr double kStepReadShare = 4.0 / 7.0;

struct Setting {
  std::uint64_t block_bytes = 4ULL << 20;
  unsigned depth = 16;                 // blocks in flight
  std::uint64_t stripe_bytes = 0;      // a block is cut into pieces of this size that go to the files in turn; 0: blocks go whole
  double read_share = kStepReadShare;  // of the blocks of a mix
  io::EngineOptions engine{};          // depth is set from the above
};

struct Sample {
  double bytes_per_second = 0.0;
  double cpu_seconds_per_gib = 0.0;  // of the whole process, kernel threads that work for it included
  double read_share = 1.0;           // of the blocks
};

using measure::TestFiles;

// Whether an engine of this name has threads to choose the number of.
[[nodiscard]] inline bool is_pool(std::string_view engine) noexcept { return engine == "threads" || engine == "cufile"; }

// Moves total_bytes() once through a new engine ("io_uring", "threads" or "cufile"). `memory` holds depth blocks. Throws Error.
Sample measure(const std::string& engine, Mode mode, const Setting& setting, const TestFiles& files, io::AlignedBuffer& memory);

}  // namespace gsnake::bench
