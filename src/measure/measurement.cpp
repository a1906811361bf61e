#include "measure/measurement.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <ctime>
#include <memory>
#include <utility>

#include "core/free_memory.h"
#include "core/proc_file.h"
#include "greedysnake/error.h"
#include "measure/commit_time.h"
#include "measure/contention.h"
#include "measure/copies.h"
#include "measure/drives.h"
#include "measure/machine_key.h"
#include "measure/updates.h"

namespace gsnake::measure {
namespace {

using optim::WeightFormat;

constexpr std::array kFormats{WeightFormat::fp32, WeightFormat::bf16, WeightFormat::fp16};
constexpr double kLongestSeconds = 60.0;
constexpr double kMeasuringPart = 0.6;  // of the time; the rest is for files, memory, and waiting for what is in flight
constexpr double kWindowWithSettling = 1.2;
constexpr double kShortestWindow = 0.004;
constexpr double kLongestWindow = 1.0;
constexpr std::uint64_t kLeastMemory = 256ULL << 20;
constexpr double kMostPatience = 10.0;  // seconds that anything may take to do something

void check(const MeasureRequest& request) {
  const bool blocks = request.block_bytes > 0 && request.block_bytes % 4096 == 0 && request.block_bytes <= kTestFileMultiple;
  if (!blocks)
    throw Error(ErrorKind::usage,
                fmt::format("cannot measure with blocks of {} bytes: they must be a multiple of 4096, up to 16 MiB", request.block_bytes));
  if (!(request.seconds > 0.0) || request.seconds > kLongestSeconds)
    throw Error(ErrorKind::usage, fmt::format("cannot measure for {} seconds: it must be more than 0 and 60 at most", request.seconds));
}

// Beyond the last cache, but not more than a quarter of what is free.
std::uint64_t memory_to_use(const MeasureRequest& request) {
  if (request.memory_bytes > 0) return request.memory_bytes;
  const auto cache = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_LEVEL3_CACHE_SIZE)));
  const std::uint64_t free = core::free_host_bytes();
  return std::max<std::uint64_t>(kTestFileMultiple, std::min(std::max(kLeastMemory, 2 * cache), free > 0 ? free / 4 : kLeastMemory));
}

// Four digits: the others would be noise.
double rounded(double value) {
  if (value == 0.0 || !std::isfinite(value)) return value;
  const double step = std::pow(10.0, std::floor(std::log10(std::fabs(value))) - 3.0);
  return step >= 1.0 ? std::round(value / step) * step : std::round(value / step) / std::round(1.0 / step);
}

void round_all(sim::MachineProfile& profile) {
  std::vector<double*> values{&profile.cpu.dram,       &profile.h2d.per_second,      &profile.h2d.latency,       &profile.h2d.share.cores,
                              &profile.d2h.per_second, &profile.d2h.latency,         &profile.d2h.share.cores,   &profile.ssd_share.cores,
                              &profile.commit_latency, &profile.compute.share.cores, &profile.compute.share.dram};
  for (sim::OptimizerRate& rate : profile.optimizer.rates) values.push_back(&rate.per_second);
  for (sim::SsdProfile& ssd : profile.ssds) {
    values.push_back(&ssd.both);
    for (sim::RatePoint& point : ssd.read) values.push_back(&point.per_second);
    for (sim::RatePoint& point : ssd.write) values.push_back(&point.per_second);
  }
  for (double* value : values) *value = rounded(*value);
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm day{};
  ::gmtime_r(&now, &day);
  return fmt::format("{:04}-{:02}-{:02}", day.tm_year + 1900, day.tm_mon + 1, day.tm_mday);
}

// Cores that others keep busy from its making on.
class Others {
 public:
  [[nodiscard]] double cores() const {
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin_;
    return std::max(0.0, (machine_seconds() - machine_ - process_seconds() + process_) / seconds.count());
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  double machine_ = machine_seconds();
  double process_ = process_seconds();
};

constexpr unsigned kInFlightMeanwhile = 4;

// One measurement of a machine, part by part.
class Session {
 public:
  explicit Session(const MeasureRequest& request)
      : request_(request),
        own_device_(request.device == nullptr ? device::make_cpu_device() : nullptr),
        device_(request.device == nullptr ? *own_device_ : *request.device),
        copies_on_cpu_(device_.name() == "cpu"),
        memory_bytes_(memory_to_use(request)) {
    describe();
    patience_.seconds = window_seconds();
    patience_.most_seconds = std::min(kMostPatience, std::max(20.0 * patience_.seconds, 1.0));
  }

  Measurement run() {
    sim::MachineProfile& profile = result_.profile;
    begin("preparing files");
    open_drives();
    DriveRates rates = measure_drives(drives_, patience_, [this](const std::string& what) { begin(what); });
    profile.ssds = std::move(rates.ssds);
    profile.ssd_latency = rates.latency;
    profile.ssd_share = {.cores = rates.cores, .dram = request_.checked ? 2.0 : 1.0};
    begin("commits");
    measure_commits();
    measure_memory();
    measure_updates();
    measure_both_copies();
    raise_bandwidth();
    if (request_.compute) measure_shares();
    round_all(profile);
    result_.others_cores = others_.cores();
    return std::move(result_);
  }

 private:
  void begin(const std::string& what) const {
    if (request_.progress) request_.progress(what);
  }

  void describe() {
    const MachineParts parts = machine_parts(request_.device_name, request_.ssd_paths);
    sim::MachineProfile& profile = result_.profile;
    profile.key = key_of(parts);
    profile.source = "measured on " + today();
    profile.cpu.name = parts.cpu;
    profile.cpu.cores = parts.quota > 0.0 ? std::min<double>(parts.cores, parts.quota) : parts.cores;
    profile.cpu.memory = parts.memory;
    profile.compute.device = request_.device_name;
    profile.compute.memory = request_.device_memory;
    profile.name = request_.device_name == "cpu" ? parts.cpu : request_.device_name + ", " + parts.cpu;
    cores_ = parts.cores;
    profile.optimizer.threads = static_cast<int>(request_.optimizer_threads > 0 ? request_.optimizer_threads : std::max(1U, cores_ / 2));
    profile.optimizer.share = {.cores = 1.0, .dram = 1.0};
  }

  // While later steps compute, as a run's: where nothing computes, processors sleep, and take most of a sync's time to wake. Then beside reads as well.
  void measure_commits() {
    if (drives_.empty()) return;
    std::vector<std::unique_ptr<Load>> meanwhile;
    if (request_.compute) meanwhile.push_back(start_computing(request_.compute));
    const double idle = commit_seconds(request_.ssd_paths);
    result_.profile.commit_latency = idle;
    for (const auto& drive : drives_) meanwhile.push_back(drive->reads(kInFlightMeanwhile));
    const Load* reads = meanwhile.back().get();
    const double rate = observe(std::array{reads}, patience_).per_second.front();
    const double busy = commit_seconds(request_.ssd_paths);
    for (const auto& load : meanwhile) load->rethrow();
    const double queue = kInFlightMeanwhile * static_cast<double>(request_.block_bytes) / rate;  // seconds
    result_.profile.commit_waits = static_cast<int>(std::lround(std::clamp((busy - idle) / queue, 0.0, static_cast<double>(sim::kMostCommitWaits))));
  }

  [[nodiscard]] double window_seconds() const {
    const double pairs = request_.compute ? (request_.ssd_paths.empty() ? 2.0 : 3.0) : 0.0;
    const double windows = drive_windows(request_.ssd_paths.size()) + 1.0 + kFormats.size() + 2.0 + kPairWindows * pairs;
    return std::clamp(kMeasuringPart * request_.seconds / (kWindowWithSettling * windows), kShortestWindow, kLongestWindow);
  }

  void open_drives() {
    DriveOptions options;
    options.engine = request_.engine;
    options.direct = request_.direct;
    options.block_bytes = request_.block_bytes;
    options.file_bytes = request_.file_bytes;
    options.file_seconds = request_.seconds / 10.0 / static_cast<double>(std::max<std::size_t>(1, request_.ssd_paths.size()));
    options.checked = request_.checked;
    for (const std::string& path : request_.ssd_paths) drives_.push_back(std::make_unique<Drive>(path, options));
  }

  void measure_memory() {
    begin("memory's bandwidth");
    result_.profile.cpu.dram = measure_bandwidth(cores_, memory_bytes_, patience_);
  }

  void measure_updates() {
    for (const WeightFormat format : kFormats) {
      begin(fmt::format("updates of {} weights", word_of(format)));
      Updates updates(format, memory_bytes_);
      const auto load = updates.start(1);
      const Observation seen = observe(std::array<const Load*, 1>{load.get()}, patience_);
      result_.profile.optimizer.rates.push_back({word_of(format), seen.per_second.front()});
    }
  }

  // Half of the memory on each side.
  void measure_both_copies() {
    begin("copies");
    copies_ = std::make_unique<Copies>(device_, memory_bytes_ / 2, request_.block_bytes);
    result_.profile.h2d = measure_copies(*copies_, device::StreamKind::h2d, copies_on_cpu_, patience_);
    result_.profile.d2h = measure_copies(*copies_, device::StreamKind::d2h, copies_on_cpu_, patience_);
  }

  // What one lane was seen to move, all can.
  void raise_bandwidth() {
    sim::MachineProfile& profile = result_.profile;
    double& most = profile.cpu.dram;
    for (const sim::OptimizerRate& rate : profile.optimizer.rates) most = std::max(most, rate.per_second * profile.optimizer.share.dram);
    for (const sim::CopyProfile& copies : {profile.h2d, profile.d2h}) most = std::max(most, copies.per_second * copies.share.dram);
  }

  [[nodiscard]] std::vector<Rival> rivals(Updates& updates) {
    const auto threads = static_cast<unsigned>(result_.profile.optimizer.threads);
    std::vector<Rival> all;
    all.push_back({Partner::optimizer, [&updates, threads] {
                     std::vector<std::unique_ptr<Load>> loads;
                     loads.push_back(updates.start(threads));
                     return loads;
                   }});
    all.push_back({Partner::copies, [this] {
                     std::vector<std::unique_ptr<Load>> loads;
                     loads.push_back(copies_->to_device());
                     loads.push_back(copies_->from_device());
                     return loads;
                   }});
    if (drives_.empty()) return all;
    all.push_back({Partner::drives, [this] {
                     std::vector<std::unique_ptr<Load>> loads;
                     for (std::size_t i = 0; i < drives_.size(); ++i) {
                       const sim::SsdProfile& ssd = result_.profile.ssds[i];
                       loads.push_back(drives_[i]->reads(static_cast<unsigned>(ssd.read.back().in_flight)));
                       loads.push_back(drives_[i]->writes(static_cast<unsigned>(ssd.write.back().in_flight)));
                     }
                     return loads;
                   }});
    return all;
  }

  void measure_shares() {
    Updates updates(request_.weights, memory_bytes_);
    const Contention contention = measure_contention(request_.compute, rivals(updates), patience_, [this](const Rival& rival) {
      begin(fmt::format("computing beside {}", name_of(rival.partner)));
    });
    const FitLimits limits{.compute_threads = static_cast<double>(request_.compute_threads > 0 ? request_.compute_threads : cores_),
                           .compute_cores = contention.compute_cores,
                           .copies_on_cpu = copies_on_cpu_};
    sim::Workload workload;
    workload.weights = word_of(request_.weights);
    result_.contention = fit_compute_share(result_.profile, workload, contention.pairs, limits);
  }

  const MeasureRequest& request_;
  std::unique_ptr<device::Device> own_device_;
  device::Device& device_;
  const bool copies_on_cpu_;
  const std::uint64_t memory_bytes_;
  unsigned cores_ = 1;
  Patience patience_;
  Others others_;
  std::vector<std::unique_ptr<Drive>> drives_;
  std::unique_ptr<Copies> copies_;
  Measurement result_;
};

}  // namespace

Measurement measure_machine(const MeasureRequest& request) {
  check(request);
  return Session(request).run();
}

}  // namespace gsnake::measure
