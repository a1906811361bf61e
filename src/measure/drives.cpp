#include "measure/drives.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>

#include "core/bytes.h"
#include "io/directories.h"
#include "measure/block_stream.h"
#include "measure/drive_name.h"
#include "measure/median.h"

namespace gsnake::measure {
namespace {

constexpr std::array kDepths{1U, 2U, 4U, 8U, Drive::kMostInFlight};
constexpr double kMostDrainSeconds = 2.0;  // of what is in flight
constexpr std::uint64_t kPartOfFreeSpace = 4;

// Not more than a part of what is free, nor than can be written in time.
std::uint64_t size_of_file(const std::string& path, const DriveOptions& options) {
  io::require_writable_directory(path);
  const std::uint64_t most = std::min(options.file_bytes, io::free_bytes(path) / kPartOfFreeSpace);
  if (most <= kTestFileMultiple) return kTestFileMultiple;
  const auto start = std::chrono::steady_clock::now();
  const TestFiles first({path}, 1, kTestFileMultiple, options.direct);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const double in_time = static_cast<double>(kTestFileMultiple) * options.file_seconds / seconds.count();
  return std::clamp(static_cast<std::uint64_t>(in_time), kTestFileMultiple, most) / kTestFileMultiple * kTestFileMultiple;
}

// Rates of all loads, and the processors' time.
using Loads = std::vector<std::unique_ptr<Load>>;

Observation observe_all(const Loads& loads, const Patience& patience) {
  std::vector<const Load*> all;
  for (const auto& load : loads) all.push_back(load.get());
  return observe(all, patience);
}

// Of one direction of one drive.
using Start = std::function<std::unique_ptr<Load>(unsigned in_flight)>;

struct Measured {
  sim::RateCurve curve;
  double cores = 0.0;  // at its end
};

// The mean of the way up and the way down.
Measured measure_curve(const Start& start, std::uint64_t block_bytes, const Patience& patience) {
  const Patience half{patience.seconds / 2.0, patience.most_seconds};
  Measured measured;
  const auto look = [&](unsigned in_flight) {
    Loads loads;
    loads.push_back(start(in_flight));
    return observe_all(loads, half);
  };
  for (const unsigned in_flight : kDepths) {
    const Observation seen = look(in_flight);
    measured.curve.push_back({static_cast<double>(in_flight), seen.per_second.front()});
    measured.cores = seen.cores;
    if (2.0 * in_flight * static_cast<double>(block_bytes) > kMostDrainSeconds * seen.per_second.front()) break;
  }
  for (auto point = measured.curve.rbegin(); point != measured.curve.rend(); ++point) {
    const Observation seen = look(static_cast<unsigned>(point->in_flight));
    point->per_second = (point->per_second + seen.per_second.front()) / 2.0;
    if (point == measured.curve.rbegin()) measured.cores = (measured.cores + seen.cores) / 2.0;
  }
  return measured;
}

unsigned deepest(const sim::RateCurve& curve) { return static_cast<unsigned>(curve.back().in_flight); }

// What a transfer takes before its bytes move: of large ones, a small part.
double latency_of(Drive& drive, const sim::RateCurve& reads, const Patience& patience) {
  Loads loads;
  loads.push_back(drive.small_reads());
  const double small = observe_all(loads, patience).per_second.front();
  const auto bytes = static_cast<double>(std::min(Drive::kSmallBlock, drive.block_bytes()));
  return small > 0.0 ? std::max(0.0, bytes / small - bytes / reads.front().per_second) : 0.0;
}

// r/r0 + w/w0.
double measure_both(Drive& drive, const sim::SsdProfile& alone, const Patience& patience) {
  Loads loads;
  loads.push_back(drive.reads(deepest(alone.read)));
  loads.push_back(drive.writes(deepest(alone.write)));
  constexpr int kRounds = 3;
  std::vector<double> found;
  for (int round = 0; round < kRounds; ++round) {
    const Observation seen = observe_all(loads, {patience.seconds / kRounds, patience.most_seconds});
    found.push_back(seen.per_second[0] / alone.read.back().per_second + seen.per_second[1] / alone.write.back().per_second);
  }
  return std::clamp(median(std::move(found)), 1.0, 2.0);
}

void scale(sim::RateCurve& curve, double factor) {
  for (sim::RatePoint& point : curve) point.per_second *= factor;
}

// All drives at once in one direction: what is less than the sum of each is taken from all alike. Returns the processors that were busy.
double measure_together(std::span<const std::unique_ptr<Drive>> drives, std::vector<sim::SsdProfile>& ssds,
                        sim::RateCurve sim::SsdProfile::*curve, const Patience& patience) {
  Loads loads;
  double alone = 0.0;
  for (std::size_t i = 0; i < drives.size(); ++i) {
    const sim::RateCurve& own = ssds[i].*curve;
    loads.push_back(curve == &sim::SsdProfile::read ? drives[i]->reads(deepest(own)) : drives[i]->writes(deepest(own)));
    alone += own.back().per_second;
  }
  const Observation seen = observe_all(loads, patience);
  double together = 0.0;
  for (const double rate : seen.per_second) together += rate;
  for (sim::SsdProfile& ssd : ssds) scale(ssd.*curve, std::min(1.0, together / alone));
  return seen.cores;
}

}  // namespace

Drive::Drive(const std::string& path, const DriveOptions& options)
    : path_(path),
      options_(options),
      files_({nearest_folder(path)}, 1, size_of_file(nearest_folder(path), options), options.direct),
      memory_(2 * kMostInFlight * options.block_bytes),
      engine_(io::make_engine(options.engine, nearest_folder(path), {.depth = 4 * kMostInFlight}, nullptr)) {
  engine_->add_file(files_.files().front());
  engine_->register_buffer(memory_.span());
  fill_with_noise(memory_.span());
}

std::unique_ptr<Load> Drive::reads(unsigned in_flight) { return load("reads of", 1.0, in_flight, options_.block_bytes, memory_.data()); }

std::unique_ptr<Load> Drive::writes(unsigned in_flight) {
  return load("writes to", 0.0, in_flight, options_.block_bytes, memory_.data() + kMostInFlight * options_.block_bytes);
}

std::unique_ptr<Load> Drive::small_reads() { return load("small reads of", 1.0, 1, std::min(kSmallBlock, options_.block_bytes), memory_.data()); }

std::unique_ptr<Load> Drive::load(const char* what, double read_share, unsigned in_flight, std::uint64_t block_bytes, std::byte* memory) {
  files_.drop_cache();
  const std::string name = fmt::format("{} {}", what, path_);
  auto stream = std::make_shared<BlockStream>(
      *engine_, files_, memory,
      StreamOptions{
          .block_bytes = block_bytes, .depth = in_flight, .read_share = read_share, .checked = options_.checked, .what = name});
  const Load::Body body = [stream](const std::stop_token& stop, Counter& counter) {
    const std::stop_callback on_stop(stop, [&] { stream->stop(); });
    stream->run(&counter);
  };
  return std::make_unique<Load>(name, std::vector{body}, in_flight);
}

DriveRates measure_drives(std::span<const std::unique_ptr<Drive>> drives, const Patience& patience, const Progress& progress) {
  DriveRates rates;
  double cores = 0.0;
  for (const auto& drive : drives) {
    sim::SsdProfile& ssd = rates.ssds.emplace_back();
    ssd.path = drive->path();
    ssd.drive = drive_name(drive->path());
    progress("reads of " + drive->path());
    const Measured reads = measure_curve([&](unsigned in_flight) { return drive->reads(in_flight); }, drive->block_bytes(), patience);
    progress("writes to " + drive->path());
    const Measured writes = measure_curve([&](unsigned in_flight) { return drive->writes(in_flight); }, drive->block_bytes(), patience);
    ssd.read = reads.curve;
    ssd.write = writes.curve;
    cores = (reads.cores + writes.cores) / 2.0;
    progress("reads and writes at once, " + drive->path());
    ssd.both = measure_both(*drive, ssd, patience);
    rates.latency = std::max(rates.latency, latency_of(*drive, ssd.read, patience));
  }
  if (drives.size() > 1) {
    progress("all drives at once");
    cores = measure_together(drives, rates.ssds, &sim::SsdProfile::read, patience) / 2.0;
    cores += measure_together(drives, rates.ssds, &sim::SsdProfile::write, patience) / 2.0;
  }
  rates.cores = cores;
  return rates;
}

double drive_windows(std::size_t drives) {
  const double each = 2.0 * kDepths.size() + 2.0;
  return each * static_cast<double>(drives) + (drives > 1 ? 2.0 : 0.0);
}

}  // namespace gsnake::measure
