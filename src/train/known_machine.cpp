#include "train/known_machine.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdint>

#include "core/free_memory.h"
#include "device/cuda_plugin.h"
#include "greedysnake/error.h"
#include "greedysnake/ranks.h"
#include "measure/crowding.h"
#include "measure/kept_profiles.h"
#include "measure/machine_key.h"
#include "measure/measurement.h"
#include "plan/workload.h"

namespace gsnake::train {
namespace {

constexpr double kSteady = 1.15;     // as much longer than at its fastest a unit may take
constexpr double kBusyCores = 0.25;  // of others, beyond which what was measured is theirs as well

// What computes: "cpu", or what the driver calls the GPU.
struct Computing {
  std::string name = "cpu";
  std::uint64_t memory = 0;
  bool unified = false;
};

Computing computing_of(const Config& config) {
  if (config.memory.device == "cpu") return {"cpu", core::free_host_bytes(), false};
  const device::CudaProbe probe = device::probe_cuda();
  for (std::size_t i = 0; i < probe.devices.size(); ++i) {
    if (config.memory.device == fmt::format("cuda:{}", i)) return {probe.devices[i].name, probe.devices[i].memory_bytes, probe.devices[i].unified_memory};
  }
  return {config.memory.device, 0, false};
}

// Of ranks with drives of their own, those of a machine's first: the others' are taken to be like these.
std::vector<std::string> paths_of(const Config& config) {
  std::vector<std::string> paths;
  for (const std::string& path : config.ssd.paths) paths.push_back(folder_of_rank(path, 0, 1, 0));
  return paths;
}

// As one process would use it: what is measured and kept of a machine is not of a rank.
Config of_whole_machine(Config config) {
  config.ranks = {};
  return config;
}

// Beside the hardware: what of a config changes what is measured of its drives.
std::string key_of(const std::string& device, const Config& config) {
  return fmt::format("{}{}{}", measure::machine_key(device, paths_of(config)), config.ssd.verify == ReadChecks::always ? "" : "-unchecked",
                     config.ssd.engine == EngineChoice::automatic ? "" : fmt::format("-{}", word_of(config.ssd.engine)));
}

void keep(const sim::MachineProfile& profile) {
  try {
    measure::keep_profile(profile);
  } catch (const Error& error) {
    spdlog::warn("what was measured of this machine is not kept: {}", error.what());
  }
}

class Acquaintance {
 public:
  Acquaintance(Model& model, const Config& config, const plan::ModelLayout& layout, const MachineRequest& request)
      : model_(model), config_(config), layout_(layout), request_(request), computing_(computing_of(config)), key_(key_of(computing_.name, config)) {}

  std::optional<KnownMachine> run() {
    std::optional<sim::MachineProfile> kept;
    if (request_.measuring != Measuring::anew) kept = measure::find_profile(key_);
    if (!kept && request_.measuring == Measuring::never) return std::nullopt;
    KnownMachine machine;
    if (kept) machine.profile = std::move(*kept);
    machine.measured = !kept;
    if (!kept) measure_all(machine);
    if (computing_.name == "cpu") machine.profile.compute.share.cores = plan::compute_threads(config_);
    machine.profile.compute.unified = computing_.unified;
    if (request_.finds_peaks) machine.peaks = bench().peaks();
    if (request_.computes) add_units(machine);
    if (changed_) keep(machine.profile);
    return machine;
  }

 private:
  UnitBench& bench(const Config& config) {
    if (!bench_) {
      bench_ = std::make_unique<UnitBench>(model_, config, layout_, [this] { tell("computing the model's units"); });
    }
    return *bench_;
  }
  UnitBench& bench() { return bench(config_); }

  void tell(const std::string& what) const {
    if (request_.told) request_.told(what);
  }

  void measure_all(KnownMachine& machine) {
    spdlog::info("measuring this machine: {}, {} SSD path(s); kept for other runs", computing_.name, config_.ssd.paths.size());
    measure::MeasureRequest request;
    request.ssd_paths = paths_of(config_);
    request.engine = config_.ssd.engine;
    request.checked = config_.ssd.verify == ReadChecks::always;
    request.weights = config_.train.dtype;
    request.device_name = computing_.name;
    request.device_memory = computing_.memory;
    // The first takes what it takes to begin; blocks that take long tell too little in the time that there is.
    tell("computing the model's units");
    const Config whole = of_whole_machine(config_);
    bench(whole).compute_block();
    const double block = bench().compute_block();
    const bool tells = 4.0 * block <= std::max(1.0, request_.seconds / 3.0);
    if (tells && request_.computes && plan::compute_threads(config_) == plan::compute_threads(whole)) before_ = unit_times();
    if (tells) request.compute = [this] { bench().compute_block(); };
    const bool on_cpu = computing_.name == "cpu";
    request.compute_threads = on_cpu ? static_cast<unsigned>(plan::compute_threads(whole)) : 1;
    ComputeDevice opened;
    if (!on_cpu) {
      opened = open_device(config_);
      request.device = opened.device.get();
    }
    request.seconds = request_.seconds;
    request.progress = request_.told;
    measure::Measurement measured = measure::measure_machine(request);
    machine.profile = std::move(measured.profile);
    for (const measure::FittedPair& pair : measured.contention) {
      spdlog::info("computing beside {}: {:.2f} of its speed, and they {:.2f} of theirs; the profile has {:.2f} and {:.2f}", measure::name_of(pair.measured.partner),
                   pair.measured.compute, pair.measured.other, pair.modelled.compute, pair.modelled.other);
    }
    if (measured.others_cores > kBusyCores) {
      spdlog::warn("other programs kept {:.1f} cores busy while this machine was measured: measure it again when it is idle (gsnake plan --measure)", measured.others_cores);
    }
    machine.profile.compute.device = computing_.name;
    machine.profile.key = key_;
    if (on_cpu && tells) measure_computing(machine.profile, plan::compute_threads(whole));
    if (const auto before = measure::find_profile(key_)) machine.profile.link = before->link;
    if (plan::compute_threads(config_) != plan::compute_threads(whole)) bench_.reset();
    changed_ = true;
  }

  // What is of the CPU's threads alone. Lanes' tasks are short: chunks have at most plan::kLargestChunk elements.
  void measure_computing(sim::MachineProfile& profile, int threads) {
    constexpr double kSeconds = 2.0;
    tell("computing beside short work");
    if (threads >= static_cast<int>(profile.cpu.cores)) {  // else short work has a core of its own, which tells nothing
      const auto compute = [this] { bench().compute_block(); };
      profile.cpu.crowding = measure::measure_crowding(compute, profile.cpu.cores, kSeconds);
      profile.cpu.favour = measure::measure_favour(compute, profile.cpu.cores, kSeconds / 2);
    }
    profile.cpu.hand_over = measure::measure_hand_over();
    profile.compute.share.dram = 0.0;
    tell("computing after a rest");
    profile.compute.rest = bench().rest();
  }

  // Where half of all rounds are as much slower than the fastest: of the unit that takes longest.
  static void tell_of_spells(const std::vector<sim::UnitTime>& rounds) {
    const std::vector<sim::UnitTime> usual = usual_times(rounds);
    const auto longest = std::ranges::max_element(usual, {}, [](const sim::UnitTime& unit) { return unit.seconds.both(); });
    std::vector<double> times;
    for (const sim::UnitTime& time : rounds) {
      if (time.key == longest->key) times.push_back(time.seconds.both());
    }
    if (times.empty()) return;
    std::ranges::sort(times);
    const double middle = times[(times.size() - 1) / 2];
    if (middle <= kSteady * times.front()) return;
    spdlog::warn("computing took {:.0f}% longer most of the time than at its fastest: others use this processor as well, or it gets too warm; predictions are of how fast it can be",
                 100.0 * (middle / times.front() - 1.0));
  }

  std::vector<sim::UnitTime> unit_times() {
    tell("measuring the model's units");
    return bench().times([this] { tell("measuring the model's units"); });
  }

  // What is not known of this model yet, and a rate for models of which nothing is.
  void add_units(KnownMachine& machine) {
    const plan::NativeDtypes native = plan::native_dtypes(config_);
    const sim::Workload workload = plan::workload_of(config_, layout_, native);
    const auto is_known = [&](const std::string& key) { return machine.profile.find_unit(key) != nullptr; };
    if (!machine.measured && std::all_of(workload.unit_keys.begin(), workload.unit_keys.end(), is_known)) return;
    std::vector<sim::UnitTime>& known = machine.profile.compute.units;
    std::vector<sim::UnitTime> all = unit_times();
    all.insert(all.end(), before_.begin(), before_.end());
    tell_of_spells(all);
    for (sim::UnitTime& time : usual_times(std::move(all))) {
      std::erase_if(known, [&](const sim::UnitTime& other) { return other.key == time.key; });
      known.push_back(std::move(time));
    }
    add_rate(machine.profile, workload);
    changed_ = true;
  }

  // FLOP a second of the block, forward and backward, if no rate of its dtype is known: with its tokens, and with a quarter of them.
  void add_rate(sim::MachineProfile& profile, const sim::Workload& workload) {
    const std::size_t block = std::min<std::size_t>(1, layout_.units.size() - 1);
    const sim::UnitSeconds* time = profile.find_unit(workload.unit_keys[block]);
    std::vector<sim::ComputeRate>& rates = profile.compute.rates;
    if (time == nullptr || time->both() <= 0.0) return;
    const auto is_of_dtype = [&](const sim::ComputeRate& rate) { return rate.dtype == workload.computes_in; };
    if (std::any_of(rates.begin(), rates.end(), is_of_dtype)) return;
    const double forwards = 3.0 + layout_.shape(block).trained_share();  // forward, recomputation, and the gradients of input and weights
    const double flops = forwards * layout_.shape(block).forward_flops_per_token;  // a token
    const auto rate_of = [flops](double tokens, const sim::UnitSeconds& seconds) { return sim::TokenRate{tokens, flops * tokens / seconds.both()}; };
    const sim::TokenRate whole = rate_of(workload.tokens, *time);
    Config fewer = config_;
    fewer.train.sequence_length = std::max<std::int64_t>(1, config_.train.sequence_length / 4);
    const double part = static_cast<double>(fewer.train.sequence_length) / static_cast<double>(config_.train.sequence_length);
    bench_.reset();  // one at a time has the model
    rates.push_back(sim::rate_through(workload.computes_in, rate_of(part * workload.tokens, bench(fewer).block_time().seconds), whole));
    bench_.reset();
  }

  Model& model_;
  const Config& config_;
  const plan::ModelLayout& layout_;
  const MachineRequest& request_;
  const Computing computing_;
  const std::string key_;
  std::unique_ptr<UnitBench> bench_;
  std::vector<sim::UnitTime> before_;  // the rest was measured: minutes of a machine differ
  bool changed_ = false;
};

}  // namespace

void keep_link(const Config& config, const sim::LinkProfile& link) {
  std::optional<sim::MachineProfile> kept = measure::find_profile(key_of(computing_of(config).name, config));
  if (!kept) return;
  kept->link = link;
  keep(*kept);
}

std::optional<KnownMachine> known_machine(Model& model, const Config& config, const plan::ModelLayout& layout, const MachineRequest& request) {
  if (request.file.empty()) return Acquaintance(model, config, layout, request).run();
  KnownMachine machine;
  machine.profile = sim::load_profile(request.file);
  if (request.finds_peaks) machine.peaks = UnitBench(model, config, layout, [&request] { if (request.told) request.told("computing the model's units"); }).peaks();
  return machine;
}

}  // namespace gsnake::train
