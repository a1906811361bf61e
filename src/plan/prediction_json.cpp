#include "plan/prediction_json.h"

#include "plan/problem.h"
#include "plan/workload.h"

namespace gsnake::plan {
namespace {

double ms(double seconds) { return 1e3 * seconds; }

Json points_of(const std::vector<sim::MemoryPoint>& points) {
  Json list = Json::array();
  for (const sim::MemoryPoint& point : points) list.push_back({ms(point.seconds), point.bytes});
  return list;
}

Json timeline_of(const std::vector<sim::TimelineTask>& timeline) {
  Json list = Json::array();
  for (const sim::TimelineTask& task : timeline) {
    list.push_back({{"lane", schedule::kLaneNames[static_cast<std::size_t>(task.lane)]}, {"row", task.row}, {"name", task.name}, {"step", task.step},
                    {"begin_ms", ms(task.begin)}, {"end_ms", ms(task.end)}, {"bytes", task.bytes}});
  }
  return list;
}

// Of what a rank writes, and its part of the drives.
Json wear_of(const sim::Prediction& prediction, const sim::MachineProfile& profile) {
  const double a_day = sim::terabytes_a_day(prediction.ssd_write_bytes, prediction.step());
  const double rated = profile.drives().rated_terabytes;
  Json wear = {{"terabytes_a_day", a_day}, {"rated_terabytes", nullptr}, {"days", nullptr}};
  if (rated > 0.0) wear["rated_terabytes"] = rated;
  if (rated > 0.0 && a_day > 0.0) wear["days"] = rated / a_day;
  return wear;
}

Json json_of_shared(const sim::Prediction& prediction) {
  Json shared = Json::object();
  for (std::size_t r = 0; r < prediction.shared.size(); ++r) {
    if (prediction.shared[r] > 0.0) shared[sim::kResourceNames[r]] = {{"limit_ms", ms(prediction.shared[r])}};
  }
  return shared;
}

}  // namespace

Json json_of_lanes(const sim::Prediction& prediction) {
  Json lanes = Json::object();
  for (std::size_t lane = 0; lane < prediction.lanes.size(); ++lane) {
    const sim::LaneTime& time = prediction.lanes[lane];
    if (time.busy > 0.0 || time.limit > 0.0) lanes[schedule::kLaneNames[lane]] = {{"busy_ms", ms(time.busy)}, {"limit_ms", ms(time.limit)}};
  }
  return lanes;
}

Json json_of(const Forecast& forecast, const Config& config, const sim::MachineProfile& profile) {
  const sim::Prediction& prediction = forecast.prediction;
  Json first_steps = Json::array();
  for (const double seconds : prediction.step_seconds) first_steps.push_back(ms(seconds));
  Json path = Json::array();
  for (const sim::PathPart& part : prediction.critical_path) path.push_back({{"what", part.what}, {"ms", ms(part.seconds)}, {"tasks", part.tasks}});
  Json memory = Json::array();
  for (const MemoryItem& item : forecast.memory.items) memory.push_back({{"tier", item.tier}, {"name", item.name}, {"bytes", item.bytes}, {"detail", item.detail}});
  Json json = {{"machine", profile.name},
               {"ranks", forecast.problem.ranks},
               {"step_ms", ms(prediction.step())},
               {"first_steps_ms", std::move(first_steps)},
               {"tokens", config.train.micro_batches * tokens_of(config, Purpose::train)},
               {"tokens_per_second", forecast.tokens_per_second(config)},
               {"micro_batches", config.train.micro_batches},
               {"delay", schedule::effective_delay(forecast.problem)},
               {"coarse", forecast.coarse},
               {"lanes", json_of_lanes(prediction)},
               {"shared", json_of_shared(prediction)},
               {"binds", schedule::kLaneNames[static_cast<std::size_t>(prediction.binds())]},
               {"binding", prediction.binding()},
               {"critical_path", std::move(path)},
               {"memory", std::move(memory)},
               {"memory_over_time", {{"host", points_of(prediction.host_memory)}, {"device", points_of(prediction.device_memory)}}},
               {"ssd", {{"read_bytes", prediction.ssd_read_bytes}, {"write_bytes", prediction.ssd_write_bytes}}},
               {"wear", wear_of(prediction, profile_of_rank(profile, config))}};
  if (!prediction.timeline.empty()) json["timeline"] = timeline_of(prediction.timeline);
  return json;
}

Json json_of(const std::vector<Contender>& contenders) {
  Json list = Json::array();
  for (const Contender& contender : contenders) {
    list.push_back({{"name", contender.name},
                    {"what", contender.what},
                    {"step_ms", ms(contender.prediction.step())},
                    {"tokens", contender.tokens},
                    {"tokens_per_second", contender.tokens_per_second()},
                    {"micro_batches", contender.problem.micro_batches * contender.problem.ranks},
                    {"delay", contender.delay},
                    {"lanes", json_of_lanes(contender.prediction)},
                    {"ssd", {{"read_bytes", contender.prediction.ssd_read_bytes}, {"write_bytes", contender.prediction.ssd_write_bytes}}},
                    {"binds", schedule::kLaneNames[static_cast<std::size_t>(contender.prediction.binds())]}});
  }
  return list;
}

Json json_of(const BatchPoint& point) {
  Json limits = Json::object();
  for (std::size_t lane = 0; lane < point.limit_seconds.size(); ++lane) {
    if (point.limit_seconds[lane] > 0.0) limits[schedule::kLaneNames[lane]] = point.tokens / point.limit_seconds[lane];
  }
  return {{"micro_batches", point.micro_batches},
          {"tokens", point.tokens},
          {"step_ms", ms(point.step_seconds)},
          {"tokens_per_second", point.tokens_per_second()},
          {"limits", std::move(limits)}};
}

Json json_of(const std::vector<BatchPoint>& points) {
  Json list = Json::array();
  for (const BatchPoint& point : points) list.push_back(json_of(point));
  return list;
}

}  // namespace gsnake::plan
