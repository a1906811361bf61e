#include "results.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>

namespace gsnake::python {
namespace {

namespace nb = nanobind;

nb::dict by_lane(const std::array<double, kLanes>& values) {
  nb::dict lanes;
  for (int lane = 0; lane < kLanes; ++lane) lanes[lane_name(lane)] = values[static_cast<std::size_t>(lane)];
  return lanes;
}

nb::object to_object(const std::optional<Rewards>& rewards) {
  if (!rewards) return nb::none();
  nb::dict values;
  values["chosen"] = rewards->chosen;
  values["rejected"] = rewards->rejected;
  values["accuracy"] = rewards->accuracy;
  values["margin"] = rewards->margin;
  return values;
}

}  // namespace

nb::dict to_dict(const StepResult& result) {
  nb::dict values;
  values["step"] = result.step;
  values["loss"] = result.loss;
  values["grad_norm"] = result.grad_norm;
  values["learning_rate"] = result.learning_rate;
  values["loss_scale"] = result.loss_scale;
  values["skipped"] = result.skipped;
  values["redone"] = result.redone;
  values["tokens"] = result.tokens;
  values["step_ms"] = result.step_ms;
  values["tokens_per_second"] = result.tokens_per_second;
  values["lanes"] = by_lane(result.lanes);
  values["predicted_ms"] = result.predicted_ms > 0.0 ? nb::cast(result.predicted_ms) : nb::none();
  values["rewards"] = to_object(result.rewards);
  return values;
}

nb::dict to_dict(const Traffic& traffic) {
  nb::dict values;
  values["ssd_read_bytes"] = traffic.ssd_read_bytes;
  values["ssd_write_bytes"] = traffic.ssd_write_bytes;
  values["h2d_bytes"] = traffic.h2d_bytes;
  values["d2h_bytes"] = traffic.d2h_bytes;
  values["dequantised_elements"] = traffic.dequantised_elements;
  values["busy_ms"] = by_lane(traffic.busy_ms);
  return values;
}

nb::dict to_dict(const RunReport& report) {
  nb::list memory;
  for (const MemoryItem& item : report.memory) {
    nb::dict entry;
    entry["tier"] = item.tier;
    entry["name"] = item.name;
    entry["bytes"] = item.bytes;
    entry["detail"] = item.detail;
    memory.append(entry);
  }
  nb::dict values;
  values["run_id"] = report.run_id;
  values["io_engine"] = report.io_engine;
  values["io_reason"] = report.io_reason;
  values["direct_io"] = report.direct_io;
  values["compute_dtype"] = report.compute_dtype;
  values["formats"] = report.formats;
  values["compute_threads"] = report.compute_threads;
  values["optimizer_threads"] = report.optimizer_threads;
  values["delay"] = report.delay;
  values["order"] = report.order;
  values["parameters"] = report.parameters;
  values["trained_parameters"] = report.trained_parameters;
  values["host_bytes"] = report.host_bytes;
  values["device_bytes"] = report.device_bytes;
  values["base_bytes"] = report.base_bytes;
  values["in_memory_bytes"] = report.in_memory_bytes;
  values["ssd_read_bytes_per_step"] = report.formula_ssd_read_bytes;
  values["ssd_write_bytes_per_step"] = report.formula_ssd_write_bytes;
  values["resumed_step"] = report.resumed_step;
  values["choices"] = report.choices;
  values["memory"] = memory;
  return values;
}

nb::dict to_dict(const RunOutcome& outcome) {
  nb::dict values;
  values["exit_status"] = outcome.exit_status;
  values["steps"] = outcome.steps;
  values["step"] = outcome.step;
  values["loss"] = outcome.loss;
  values["validation_loss"] = outcome.validation_loss;
  return values;
}

nb::dict to_dict(const TransferReport& report) {
  nb::dict values;
  values["step"] = report.step;
  values["parameters"] = report.parameters;
  values["bytes"] = report.bytes;
  values["files"] = report.files;
  values["dtype"] = word_of(report.dtype);
  values["seconds"] = report.seconds;
  return values;
}

nb::dict to_dict(const BaseReport& report) {
  nb::dict values;
  values["id"] = report.id;
  values["parameters"] = report.parameters;
  values["bytes"] = report.bytes;
  values["seconds"] = report.seconds;
  return values;
}

}  // namespace gsnake::python
