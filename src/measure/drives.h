// Drives under the load that the executor puts on them.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/aligned_buffer.h"
#include "io/engine.h"
#include "measure/load.h"
#include "measure/test_files.h"
#include "sim/profile.h"

namespace gsnake::measure {

struct DriveOptions {
  io::EngineChoice engine = io::EngineChoice::automatic;
  io::DirectIo direct = io::DirectIo::automatic;
  std::uint64_t block_bytes = 4ULL << 20;
  std::uint64_t file_bytes = 256ULL << 20;  // of a path at most
  double file_seconds = 2.0;                // that writing it may take, as far as a first 16 MiB tell
  bool checked = true;                      // checksums of all that moves, each lane's on a thread of its own, as the executor has it
};

// One path, or the nearest folder above it that is there: a nameless file in it, an engine, memory for its blocks. Blocks are read and
// written by two streams, as by two lanes.
class Drive {
 public:
  // Throws Error(storage) that names the path: no permission, no room.
  Drive(const std::string& path, const DriveOptions& options);

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::uint64_t block_bytes() const noexcept { return options_.block_bytes; }
  // So many blocks in flight (kMostInFlight at most) until the load's end, which is not later than the drive's. One of each at a time.
  [[nodiscard]] std::unique_ptr<Load> reads(unsigned in_flight);
  [[nodiscard]] std::unique_ptr<Load> writes(unsigned in_flight);
  // Of kSmallBlock bytes, one after another.
  [[nodiscard]] std::unique_ptr<Load> small_reads();

  static constexpr std::uint64_t kSmallBlock = 64ULL << 10;
  static constexpr unsigned kMostInFlight = 16;

 private:
  std::unique_ptr<Load> load(const char* what, double read_share, unsigned in_flight, std::uint64_t block_bytes, std::byte* memory);

  std::string path_;
  DriveOptions options_;
  TestFiles files_;
  io::AlignedBuffer memory_;
  std::unique_ptr<io::IoEngine> engine_;
};

struct DriveRates {
  std::vector<sim::SsdProfile> ssds;  // as the drives are when all are busy, where that is less than what each does by itself
  double cores = 0.0;                 // of reads, and of writes, at the full rate of all: the mean of both
  double latency = 0.0;               // seconds that a small transfer takes beside what its bytes do at the curve's rate of one
};

// Called before each part, with what it is; may throw.
using Progress = std::function<void(const std::string& what)>;

// Reads and writes with 1, 2, 4, 8 and 16 blocks in flight, up and down again so that a drive that gets slower by and by is not taken for
// one that dislikes depth; then both at once. A depth that takes too long to come to an end is left out, and those beyond it.
DriveRates measure_drives(std::span<const std::unique_ptr<Drive>> drives, const Patience& patience, const Progress& progress);

// How many times `patience.seconds` that takes.
double drive_windows(std::size_t drives);

}  // namespace gsnake::measure
