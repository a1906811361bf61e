#include "run/metrics.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <span>
#include <utility>

#include "core/errors.h"
#include "io/write_all.h"
#include "run/machine.h"

namespace gsnake::run {
namespace {

Json memory_by_tier(const RunReport& report) {
  Json tiers = {{"host", Json::array()}, {"device", Json::array()}};
  for (const MemoryItem& item : report.memory)
    tiers[item.tier].push_back({{"name", item.name}, {"bytes", item.bytes}, {"detail", item.detail}});
  return tiers;
}

Json paths_of(const RunReport& report) {
  Json paths = Json::array();
  for (const SsdPathUse& use : report.ssd_paths) paths.push_back({{"path", use.path}, {"bytes", use.bytes}});
  return paths;
}

Json lanes_of(const Traffic& traffic) {
  Json lanes = Json::object();
  for (int lane = 0; lane < kLanes; ++lane) lanes[lane_name(lane)] = nine_digits(traffic.busy_ms[static_cast<std::size_t>(lane)]);
  return lanes;
}

Json prediction_of(const RunReport& report) {
  const Prediction& prediction = report.prediction;
  if (prediction.machine.empty()) return nullptr;
  Json lanes = Json::object();
  for (int lane = 0; lane < kLanes; ++lane) {
    const auto i = static_cast<std::size_t>(lane);
    if (prediction.busy_ms[i] > 0.0) lanes[lane_name(lane)] = {{"busy_ms", nine_digits(prediction.busy_ms[i])}, {"limit_ms", nine_digits(prediction.limit_ms[i])}};
  }
  return {{"machine", prediction.machine}, {"first_steps_ms", prediction.step_ms}, {"step_ms", prediction.step_ms.back()}, {"lanes", std::move(lanes)}};
}

void add_rewards(Json& line, const std::string& prefix, const Rewards& rewards) {
  line[prefix + "reward_chosen"] = nine_digits(rewards.chosen);
  line[prefix + "reward_rejected"] = nine_digits(rewards.rejected);
  line[prefix + "reward_accuracy"] = nine_digits(rewards.accuracy);
  line[prefix + "reward_margin"] = nine_digits(rewards.margin);
}

bool ends_with_newline(int fd, off_t size, const std::string& path) {
  char last = 0;
  if (::pread(fd, &last, 1, size - 1) != 1) core::throw_storage("read the end of", path, core::errno_code(), "check the drive");
  return last == '\n';
}

}  // namespace

Json nine_digits(double value) {
  if (!std::isfinite(value)) return nullptr;
  return std::strtod(fmt::format("{:.9g}", value).c_str(), nullptr);
}

Json describe_run(const Config& config, const RunReport& report) {
  const Machine machine = this_machine();
  return {
      {"run_id", report.run_id},
      {"config", Json::parse(config.to_json())},
      {"machine", {{"cpu", machine.cpu}, {"cores", machine.cores}, {"memory_bytes", machine.memory_bytes}}},
      {"ranks", {{"count", config.ranks.count}, {"local_count", config.ranks.local_count}}},
      {"io",
       {{"engine", report.io_engine},
        {"reason", report.io_reason},
        {"direct", report.direct_io},
        {"buffered_reason", report.buffered_reason},
        {"registered", report.io_registered},
        {"unregistered_reason", report.unregistered_reason},
        {"paths", paths_of(report)}}},
      {"compute_dtype", report.compute_dtype},
      {"formats", report.formats},
      {"guard", report.guard},
      {"compute_threads", report.compute_threads},
      {"optimizer_threads", report.optimizer_threads},
      {"delay", report.delay},
      {"order", report.order},
      {"parameters", report.parameters},
      {"trained_parameters", report.trained_parameters},
      {"base", report.base},
      {"memory", memory_by_tier(report)},
      {"host_bytes", report.host_bytes},
      {"device_bytes", report.device_bytes},
      {"base_bytes", report.base_bytes},
      {"in_memory_bytes", report.in_memory_bytes},
      {"prediction", prediction_of(report)},
      {"choices", report.choices},
      {"formula_ssd_read_bytes", report.formula_ssd_read_bytes},
      {"formula_ssd_write_bytes", report.formula_ssd_write_bytes},
  };
}

Json step_line(const StepResult& result, const Traffic& traffic, const RunReport& report, const StepContext& context) {
  Json line = {
      {"step", result.step},
      {"loss", nine_digits(result.loss)},
      {"grad_norm", nine_digits(result.grad_norm)},
      {"learning_rate", nine_digits(result.learning_rate)},
      {"tokens", result.tokens},
      {"step_ms", nine_digits(result.step_ms)},
      {"tokens_per_second", nine_digits(result.tokens_per_second)},
      {"skipped", result.skipped},
      {"redone", result.redone},
      {"loss_scale", nine_digits(result.loss_scale)},
      {"ssd_read_bytes", traffic.ssd_read_bytes},
      {"ssd_write_bytes", traffic.ssd_write_bytes},
      {"h2d_bytes", traffic.h2d_bytes},
      {"d2h_bytes", traffic.d2h_bytes},
      {"dequantised_elements", traffic.dequantised_elements},
      {"lanes", lanes_of(traffic)},
      {"predicted_ms", result.predicted_ms > 0.0 ? nine_digits(result.predicted_ms) : Json()},
      {"host_peak_bytes", report.host_bytes},
      {"device_peak_bytes", report.device_bytes},
      {"rss_peak_bytes", context.rss_peak_bytes},
      {"committed_step", context.committed_step},
      {"delay", report.delay},
  };
  if (result.rewards) add_rewards(line, "", *result.rewards);
  if (context.validation_loss) {
    line["validation_loss"] = nine_digits(*context.validation_loss);
    line["validation_perplexity"] = nine_digits(std::exp(*context.validation_loss));
  }
  if (context.validation_rewards) add_rewards(line, "validation_", *context.validation_rewards);
  return line;
}

MetricsFile::MetricsFile(std::string path, Mode mode) : path_(std::move(path)) {
  const int flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | (mode == Mode::fresh ? O_TRUNC : 0);
  fd_ = core::UniqueFd(::open(path_.c_str(), flags, 0644));
  if (!fd_) core::throw_storage("create the metrics file", path_, core::errno_code(), "set run.metrics to a file that can be written");
  struct stat status {};
  if (::fstat(fd_.get(), &status) != 0) core::throw_storage("look at", path_, core::errno_code(), "check the drive");
  empty_ = status.st_size == 0;
  // A device or a pipe has no end to look at.
  if (S_ISREG(status.st_mode) && !empty_ && !ends_with_newline(fd_.get(), status.st_size, path_)) append("\n");
}

void MetricsFile::write(const Json& line) {
  // What is not UTF-8 (a path in the config) becomes U+FFFD: a name that can't be spelt in JSON must not end a run.
  append(line.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n');
  empty_ = false;
}

void MetricsFile::append(const std::string& text) {
  const auto write = [this](std::span<const std::byte> rest, std::size_t) { return ::write(fd_.get(), rest.data(), rest.size()); };
  const std::error_code error = io::write_all(std::as_bytes(std::span(text)), write);
  if (error) core::throw_storage("write", path_, error, "free some space there, then start the run again");
}

}  // namespace gsnake::run
