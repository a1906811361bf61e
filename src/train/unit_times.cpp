#include "train/unit_times.h"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <thread>
#include <utility>

#include "core/free_memory.h"
#include "device/named_device.h"
#include "measure/median.h"
#include "plan/compute_dtype.h"
#include "plan/numerics.h"
#include "plan/run_plan.h"
#include "plan/workload.h"
#include "torch/memory.h"
#include "torch/trial_call.h"
#include "train/compute_shape.h"
#include "train/rehearsal.h"

namespace gsnake::train {
namespace {

constexpr int kLeastRepeats = 3;
constexpr int kMostRepeats = 9;
constexpr double kEnough = 0.15;  // seconds of repeats
constexpr double kTooLong = 3.0;  // of fewer repeats
constexpr int kRounds = 3;
constexpr double kSlowed = 1.1;  // as much longer than at its fastest a unit takes where something slows the processor
constexpr double kEnoughRounds = 4.0;  // seconds, after which no other round begins

using measure::median;

double seconds_since(std::chrono::steady_clock::time_point begin) { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); }

// What is left to choose does not change what a unit takes. A device budget that is not known yet is all that is free.
Config of_units(Config config) {
  if (config.train.micro_batches < 0) config.train.micro_batches = 1;
  if (config.optimizer.moments == MomentFormat::automatic) config.optimizer.moments = MomentFormat::fp32;
  constexpr std::uint64_t kPlenty = 1ULL << 50;
  if (config.memory.device_budget == kAutomaticBytes) {
    const std::uint64_t free = config.memory.device == "cpu" ? core::free_host_bytes() : device::free_device_bytes(config.memory.device);
    config.memory.device_budget = free == 0 ? kPlenty : free;
  }
  config.memory.host_budget = kPlenty;
  const bool may_keep = config.placement.kept.automatic || config.placement.kept.device > 0.0;
  config.placement = {};
  config.placement.kept.automatic = may_keep;
  return config;
}

}  // namespace

std::vector<sim::UnitTime> usual_times(std::vector<sim::UnitTime> rounds) {
  std::ranges::stable_sort(rounds, {}, [](const sim::UnitTime& time) { return std::pair(std::string_view(time.key), time.seconds.both()); });
  std::vector<sim::UnitTime> usual;
  for (auto begin = rounds.begin(); begin != rounds.end();) {
    const auto slow = std::find_if(begin, rounds.end(), [&](const sim::UnitTime& time) { return time.key != begin->key || time.seconds.both() > kSlowed * begin->seconds.both(); });
    usual.push_back(begin[(slow - begin - 1) / 2]);
    begin = std::find_if(slow, rounds.end(), [&](const sim::UnitTime& time) { return time.key != usual.back().key; });
  }
  return usual;
}

class UnitBench::Impl {
 public:
  Impl(Model& model, const Config& given, const plan::ModelLayout& layout, const std::function<void()>& told)
      : config_(of_units(given)), layout_(layout), computes_on_(open_device(config_)), torch_(set_up_torch(config_)), shape_(compute_shape(config_, plan::Purpose::train, computes_on_.support.get())),
        backend_(model, layout, shape_), setting_{&layout, plan::Purpose::train, plan::native_dtypes(config_)} {
    measure_temporaries(backend_, *computes_on_.device, config_, setting_, told);
    backend_.cap_temporaries(plan::overheads_of(config_, setting_).torch_temporaries);
  }

  // The model goes on, without the memory that it computed on.
  ~Impl() {
    if (block_) backend_.forget_slots(block());
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  [[nodiscard]] const plan::MeasuredPeaks& peaks() const { return setting_.peaks; }

  // Round by round, so that what slows the machine for a moment does not meet all that is measured of a unit.
  std::vector<sim::UnitTime> times(const std::function<void()>& told) {
    const auto begin = std::chrono::steady_clock::now();
    std::vector<sim::UnitTime> times;
    for (int round = 0; round < kRounds && seconds_since(begin) < kEnoughRounds; ++round) {
      for (const int unit : layout_.one_of_each_shape()) {
        if (told) told();
        times.push_back(time_of(unit));
      }
    }
    return times;
  }

  sim::UnitTime block_time() { return time_of(block()); }

  double compute_block() { return block_seconds(); }

  sim::RestProfile rest() {
    constexpr double kLong = 0.06;
    constexpr double kMatters = 1.15;
    constexpr int kLooks = 3;
    if (block_seconds() > kLong) return {};  // it warms up by itself
    // Clocks do not fall at the first pause. Beside what a block takes right then without one: minutes of a machine differ.
    const auto after = [&](double pause) {
      std::vector<double> seconds;
      for (int i = 0; i < 3 * kLooks; ++i) {
        std::this_thread::sleep_for(std::chrono::duration<double>(pause));
        const double again = block_seconds();
        if (i >= 2 * kLooks) seconds.push_back(again);
      }
      return median(std::move(seconds)) / steady_seconds();
    };
    sim::RestProfile rest;
    const double factor = after(kLong);
    if (factor < kMatters) return rest;
    rest.factor = factor;
    rest.after = kLong;
    for (const double pause : {0.05, 0.04, 0.03, 0.02, 0.01, 0.003, 0.001}) {
      if (after(pause) <= (1.0 + factor) / 2.0) break;
      rest.after = pause;
    }
    std::vector<double> works;
    for (int i = 0; i < kLooks; ++i) works.push_back(slow_work(kLong, (1.0 + factor) / 2.0));
    rest.work = median(std::move(works));
    return rest;
  }

 private:
  sim::UnitTime time_of(int unit) {
    backend::TrialCall trial(*computes_on_.device, layout_, shape_, unit, true);
    trial.fill_with_noise(*computes_on_.device, shape_, layout_.vocab);
    sim::UnitTime time;
    time.key = plan::unit_key(config_, layout_, static_cast<std::size_t>(unit), setting_.native);
    const bool is_head = unit + 1 == static_cast<int>(layout_.units.size());
    const double first = seconds_of(trial.forward(), true);
    const double later = seconds_of(trial.forward(), false);
    (is_head ? time.seconds.backward : time.seconds.forward) = later;
    time.seconds.opening = std::max(0.0, first - later);
    if (trial.has_backward()) time.seconds.backward = seconds_of(trial.backward(), false);
    backend_.forget_slots(unit);
    return time;
  }

  double once(runtime::ComputeCall call, bool opens) {
    call.opens = opens;
    const auto begin = std::chrono::steady_clock::now();
    backend::TrialCall::run(*computes_on_.device, [&](const device::ComputeScope& scope) { backend_.run(scope, call); });
    return seconds_since(begin);
  }

  [[nodiscard]] int block() const { return std::min(1, static_cast<int>(layout_.units.size()) - 1); }

  double block_seconds() {
    if (!block_) {
      block_ = std::make_unique<backend::TrialCall>(*computes_on_.device, layout_, shape_, block(), true);
      block_->fill_with_noise(*computes_on_.device, shape_, layout_.vocab);
    }
    const double forward = once(block_->forward(), false);
    return block_->has_backward() ? forward + once(block_->backward(), false) : forward;
  }

  // Of a block among others, far from any rest.
  double steady_seconds() {
    constexpr double kWarm = 0.2;  // seconds of work, by far more than any machine needs
    for (double worked = 0.0; worked < kWarm;) worked += block_seconds();
    return median({block_seconds(), block_seconds(), block_seconds()});
  }

  // Seconds of work, as they are without a rest, until a block is nearly as fast again.
  double slow_work(double pause, double slow) {
    constexpr int kMost = 200;
    const double steady = steady_seconds();
    for (int i = 0; i < 6; ++i) {
      std::this_thread::sleep_for(std::chrono::duration<double>(pause));
      if (i < 5) block_seconds();
    }
    int calls = 0;
    while (calls < kMost && block_seconds() > slow * steady) ++calls;
    return calls * steady;
  }

  double seconds_of(const runtime::ComputeCall& call, bool opens) {
    once(call, true);  // warm-up
    std::vector<double> seconds;
    double all = 0.0;
    while (seconds.size() < kLeastRepeats || (seconds.size() < kMostRepeats && all < kEnough)) {
      seconds.push_back(once(call, opens));
      all += seconds.back();
      if (all > kTooLong) break;
    }
    return median(seconds);
  }

  const Config config_;
  const plan::ModelLayout& layout_;
  ComputeDevice computes_on_;
  std::shared_ptr<const backend::ProcessSettings> torch_;
  backend::ComputeShape shape_;
  backend::TorchBackend backend_;
  plan::Setting setting_;
  std::unique_ptr<backend::TrialCall> block_;
};

UnitBench::UnitBench(Model& model, const Config& config, const plan::ModelLayout& layout, const std::function<void()>& told)
    : impl_(std::make_unique<Impl>(model, config, layout, told)) {}
UnitBench::~UnitBench() = default;
const plan::MeasuredPeaks& UnitBench::peaks() const { return impl_->peaks(); }
std::vector<sim::UnitTime> UnitBench::times(const std::function<void()>& told) { return impl_->times(told); }
sim::UnitTime UnitBench::block_time() { return impl_->block_time(); }
sim::RestProfile UnitBench::rest() { return impl_->rest(); }
double UnitBench::compute_block() { return impl_->compute_block(); }

}  // namespace gsnake::train
