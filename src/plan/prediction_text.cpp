#include <fmt/format.h>

#include <algorithm>

#include "core/bytes.h"
#include "plan/prediction_json.h"
#include "plan/workload.h"

namespace gsnake::plan {
namespace {

std::string duration(double seconds) {
  if (seconds < 1.0) return fmt::format("{:.1f} ms", 1e3 * seconds);
  return seconds < 600.0 ? fmt::format("{:.2f} s", seconds) : fmt::format("{:.1f} min", seconds / 60.0);
}

std::string lanes_text(const sim::Prediction& prediction) {
  std::string text = fmt::format("{:<12} {:>12} {:>7} {:>12}\n", "lane", "busy", "share", "alone");
  for (std::size_t lane = 0; lane < prediction.lanes.size(); ++lane) {
    const sim::LaneTime& time = prediction.lanes[lane];
    if (time.busy <= 0.0) continue;
    text += fmt::format("{:<12} {:>12} {:>6.0f}% {:>12}\n", schedule::kLaneNames[lane], duration(time.busy), 100.0 * time.busy / prediction.step(), duration(time.limit));
  }
  return text;
}

std::string memory_text(const Forecast& forecast, const char* tier, std::uint64_t bytes, std::uint64_t budget) {
  std::string text = fmt::format("{} memory: {} of {}\n", tier, core::format_bytes(bytes), core::format_bytes(budget));
  for (const MemoryItem& item : forecast.memory.items) {
    if (item.tier == tier && item.bytes > 0) text += fmt::format("  {:<34} {:>12}  {}\n", item.name, core::format_bytes(item.bytes), item.detail);
  }
  return text;
}

std::string wear_text(const sim::Prediction& prediction, const sim::MachineProfile& profile) {
  const double a_day = sim::terabytes_a_day(prediction.ssd_write_bytes, prediction.step());
  std::string text = fmt::format("SSD: {} read and {} written a step; {:.2f} TB written a day", core::format_bytes(prediction.ssd_read_bytes),
                                 core::format_bytes(prediction.ssd_write_bytes), a_day);
  const double rated = profile.drives().rated_terabytes;
  if (rated > 0.0 && a_day > 0.0) text += fmt::format(", {:.0f} days to the {:.0f} TB that the drives are rated for", rated / a_day, rated);
  return text + "\n";
}

// What binds, and how much of a step all lanes take together of what they share.
std::string binds_text(const sim::Prediction& prediction) {
  const auto share = [&](double seconds) { return 100.0 * seconds / prediction.step(); };
  const auto lane = static_cast<std::size_t>(prediction.binds());
  std::string text = fmt::format("{} binds: alone it takes {:.0f}% of the step\n", schedule::kLaneNames[lane], share(prediction.lanes[lane].limit));
  if (const std::string binding = prediction.binding(); binding != schedule::kLaneNames[lane]) {
    text = fmt::format("what binds is shared: all lanes' use of {} takes {:.0f}% of the step; of the lanes {} takes longest, {:.0f}%\n", binding,
                       share(*std::max_element(prediction.shared.begin(), prediction.shared.end())), schedule::kLaneNames[lane], share(prediction.lanes[lane].limit));
  }
  std::string shares;
  for (std::size_t r = 0; r < prediction.shared.size(); ++r) {
    if (share(prediction.shared[r]) >= 1.0) shares += fmt::format("{} {} {:.0f}%", shares.empty() ? "" : ",", sim::kResourceTitles[r], share(prediction.shared[r]));
  }
  return shares.empty() ? text : text + "of what they share all lanes take, of the step:" + shares + "\n";
}

}  // namespace

std::string text_of(const Forecast& forecast, const Config& config, const sim::MachineProfile& profile) {
  const sim::Prediction& prediction = forecast.prediction;
  const int ranks = forecast.problem.ranks;
  std::string text = fmt::format("on {}: a step{} takes {}, {:.0f} tokens/s{}\n", profile.name, ranks > 1 ? fmt::format(" of {} ranks", ranks) : "", duration(prediction.step()),
                                 forecast.tokens_per_second(config), forecast.coarse ? " (objects moved in larger parts than the run would)" : "");
  if (ranks > 1) text += "of each rank:\n";
  text += lanes_text(prediction);
  text += binds_text(prediction);
  text += "on the way that the step's length goes:";
  constexpr std::size_t kShown = 5;
  for (std::size_t i = 0; i < std::min(kShown, prediction.critical_path.size()); ++i) {
    const sim::PathPart& part = prediction.critical_path[i];
    text += fmt::format("{} {} {:.0f}%", i == 0 ? "" : ",", part.what, 100.0 * part.seconds / prediction.step());
  }
  text += "\n";
  text += wear_text(prediction, profile_of_rank(profile, config));
  if (profile.compute.unified && config.placement.activations.host > 0.0) text += "host and device memory are one: activations that placement has in host memory stay on the device\n";
  text += memory_text(forecast, "host", forecast.memory.host_bytes, config.memory.host_budget);
  text += memory_text(forecast, "device", forecast.memory.device_bytes, config.memory.device_budget);
  return text;
}

std::string text_of(const std::vector<Contender>& contenders) {
  std::string text = fmt::format("{:<26} {:>4} {:>6} {:>12} {:>12} {:>12} {:>12} {:>9}  {}\n", "side by side", "M", "delay", "step", "tokens/s", "SSD read", "written", "ratio", "binds");
  for (const Contender& contender : contenders) {
    const sim::Prediction& prediction = contender.prediction;
    text += fmt::format("{:<26} {:>4} {:>6.2f} {:>12} {:>12.1f} {:>12} {:>12} {:>9.2f}  {}\n", contender.name, contender.problem.micro_batches * contender.problem.ranks, contender.delay,
                        duration(prediction.step()), contender.tokens_per_second(), core::format_bytes(prediction.ssd_read_bytes),
                        core::format_bytes(prediction.ssd_write_bytes), contenders.front().tokens_per_second() / contender.tokens_per_second(),
                        prediction.binding());
  }
  return text + "ratio: tokens/s of the first over its own\n";
}

}  // namespace gsnake::plan
