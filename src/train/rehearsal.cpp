#include "train/rehearsal.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "core/bytes.h"
#include "plan/run_plan.h"

namespace gsnake::train {
namespace {

using plan::PeakCurve;

// From so many tokens on, what grows with them outweighs what does not.
constexpr std::int64_t kTellingTokens = 512;

// What a dry run measured, if it was not ended.
bool add(PeakCurve& curve, std::int64_t tokens, const std::optional<std::uint64_t>& peak) {
  if (!peak) return false;
  const auto after = std::find_if(curve.begin(), curve.end(), [&](const plan::MeasuredPeak& point) { return point.tokens > tokens; });
  curve.insert(after, {tokens, *peak});
  return true;
}

// So many tokens, the most of the curve, take at least `bytes`, whatever it says.
void raise(PeakCurve& curve, std::int64_t tokens, std::uint64_t bytes) {
  if (!curve.empty() && plan::peak_at(curve, tokens) >= bytes) return;
  if (!curve.empty() && curve.back().tokens == tokens) curve.pop_back();
  curve.push_back({tokens, bytes});
}

// As many kept passes as show how gaps between them grow, if the run keeps so many at once; 0: it keeps none, nor may it be chosen.
int passes_to_keep(const Config& config, const plan::Setting& setting) {
  constexpr int kTelling = 3;
  if (config.placement.kept.automatic) return setting.purpose == plan::Purpose::train ? kTelling : 0;
  const std::vector<int> passes = plan::kept_at_once(config, setting);
  return std::min(kTelling, std::accumulate(passes.begin(), passes.end(), 0));
}

class Rehearsal {
 public:
  Rehearsal(backend::UnitBackend& backend, device::Device& device, const Config& config, const plan::Setting& setting,
            const std::function<void()>& told)
      : backend_(backend), device_(device), units_(setting.layout->one_of_each_shape()) {
    whole_.training = setting.purpose == plan::Purpose::train;
    whole_.rows = plan::rows_of(config, setting.purpose);
    whole_.tokens = config.train.sequence_length;
    whole_.head_chunk = std::min(config.train.head_chunk, whole_.rows * whole_.tokens);
    whole_.told = told;
  }

  // Of the run's own sizes; nothing where they take more.
  std::optional<plan::MeasuredPeaks> all(std::uint64_t most_bytes) {
    whole_.most_bytes = most_bytes;
    plan::MeasuredPeaks peaks;
    peaks.of = plan::MeasuredPeaks::Of::all_tokens;
    for (const int unit : units_) {  // the head first, as it is short
      too_large_ = unit;
      PeakCurve curve;
      if (!measure(curve, unit, whole_)) return std::nullopt;
      put(peaks, unit, std::move(curve));
    }
    return peaks;
  }

  // Of the blocks whose activations may be kept, `passes` of each shape: false where these take more.
  bool add_kept(plan::MeasuredPeaks& peaks, const plan::ModelLayout& layout, int passes, std::uint64_t most_bytes) {
    backend::DryRun dry = whole_;
    dry.most_bytes = most_bytes;
    dry.kept = passes;
    peaks.kept.assign(layout.shapes.size(), 0);
    peaks.kept_tokens = dry.rows * dry.tokens;
    for (const int unit : units_) {
      if (is_head(unit) || unit == 0) continue;
      const std::optional<std::uint64_t> bytes = backend_.rehearse_kept(device_, dry, unit);
      peaks.kept[static_cast<std::size_t>(layout.units[static_cast<std::size_t>(unit)])] = bytes.value_or(most_bytes / static_cast<std::uint64_t>(passes) + 1);
      if (!bytes) return false;
    }
    return true;
  }

  // Of fewer tokens. The unit that ended all(), if it was tried, takes `at_least`.
  plan::MeasuredPeaks of_less(std::uint64_t most_bytes, std::uint64_t at_least) {
    whole_.most_bytes = most_bytes;
    plan::MeasuredPeaks peaks;
    peaks.of = plan::MeasuredPeaks::Of::fewer_tokens;
    for (const int unit : units_) {
      PeakCurve curve = is_head(unit) ? of_shorter_chunks(unit) : of_fewer_rows(unit);
      if (curve.empty()) {
        peaks.of = plan::MeasuredPeaks::Of::some;
        raise(curve, tokens_of(unit, whole_), most_bytes);
      }
      if (unit == too_large_) raise(curve, tokens_of(unit, whole_), at_least);
      put(peaks, unit, std::move(curve));
    }
    return peaks;
  }

 private:
  [[nodiscard]] bool is_head(int unit) const { return unit == units_.front(); }
  [[nodiscard]] std::int64_t tokens_of(int unit, const backend::DryRun& dry) const {
    return is_head(unit) ? dry.head_chunk : dry.rows * dry.tokens;
  }

  void put(plan::MeasuredPeaks& peaks, int unit, PeakCurve curve) const {
    if (is_head(unit)) {
      peaks.head = std::move(curve);
    } else {
      peaks.units.push_back(std::move(curve));
    }
  }

  bool measure(PeakCurve& curve, int unit, const backend::DryRun& dry) {
    return add(curve, tokens_of(unit, dry), backend_.rehearse(device_, dry, unit));
  }

  // So many rows that their tokens tell, and twice as many; where these do not fit, one row, or parts of it.
  PeakCurve of_fewer_rows(int unit) {
    PeakCurve curve;
    backend::DryRun dry = whole_;
    const auto telling = static_cast<std::int64_t>(core::ceil_div(kTellingTokens, whole_.tokens));
    dry.rows = std::min(whole_.rows, telling);
    if (measure(curve, unit, dry)) {
      dry.rows *= 2;
      if (dry.rows <= whole_.rows) measure(curve, unit, dry);
      return curve;
    }
    const bool has_fewer = dry.rows > 1;
    dry.rows = 1;
    if (has_fewer && measure(curve, unit, dry)) return curve;
    add_halves(curve, unit, dry, dry.tokens);
    return curve;
  }

  PeakCurve of_shorter_chunks(int unit) {
    PeakCurve curve;
    backend::DryRun dry = whole_;
    if (!measure(curve, unit, dry)) add_halves(curve, unit, dry, dry.head_chunk);
    return curve;
  }

  // The two largest halves of `tokens`, which is a part of `dry`, that fit.
  void add_halves(PeakCurve& curve, int unit, const backend::DryRun& dry, std::int64_t& tokens) {
    for (tokens /= 2; tokens > 0 && curve.size() < 2; tokens /= 2) measure(curve, unit, dry);
  }

  backend::UnitBackend& backend_;
  device::Device& device_;
  const std::vector<int> units_;
  backend::DryRun whole_;
  int too_large_ = -1;
};

}  // namespace

void measure_temporaries(backend::UnitBackend& backend, device::Device& device, const Config& config, plan::Setting& setting,
                         const std::function<void()>& told) {
  Rehearsal rehearsal(backend, device, config, setting, told);
  const std::uint64_t budget = config.memory.device_budget;
  const std::uint64_t room_for_less = plan::dry_run_room(config, setting);
  const std::vector<MemoryItem> items = plan::requirements(config, setting);
  const int passes = passes_to_keep(config, setting);
  const auto measure_less = [&](std::uint64_t at_least) {
    setting.peaks = rehearsal.of_less(room_for_less, at_least);
    if (passes > 0) rehearsal.add_kept(setting.peaks, *setting.layout, passes, room_for_less);
  };
  if (plan::bytes_of(items, "device") > budget) {
    measure_less(0);
    plan::refuse_what_does_not_fit(config, setting);  // but for units of other people's that take less than any of ours
  }
  const std::uint64_t most = plan::peak_within(plan::temporaries_room(config, setting, items));
  if (const std::optional<plan::MeasuredPeaks> peaks = rehearsal.all(most)) {
    setting.peaks = *peaks;
    if (passes == 0 || rehearsal.add_kept(setting.peaks, *setting.layout, passes, most) || config.placement.kept.automatic) return;
    rehearsal.add_kept(setting.peaks, *setting.layout, passes, room_for_less);
    plan::refuse_what_does_not_fit(config, setting);  // a pass and all that its forward takes was more than is left beside kept ones, which they share
    return;
  }
  measure_less(most + 2);
  plan::refuse(config, setting);
}

}  // namespace gsnake::train
