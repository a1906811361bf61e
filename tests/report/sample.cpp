#include "sample.h"

namespace gsnake::report::test {

Json config() {
  return {{"model", {{"family", "gpt2"}, {"layers", 2}, {"hidden", 32}}}, {"run", {{"dir", "./run"}, {"trace", "trace.json"}}}};
}

Json prediction() {
  return {{"machine", "two drives"},
          {"step_ms", 100.0},
          {"first_steps_ms", {140.0, 100.0}},
          {"tokens", 4096},
          {"tokens_per_second", 40960.0},
          {"micro_batches", 4},
          {"delay", 0.5},
          {"lanes", {{"compute", {{"busy_ms", 60.0}, {"limit_ms", 58.0}}}, {"ssd_read", {{"busy_ms", 95.0}, {"limit_ms", 93.0}}}}},
          {"binds", "ssd_read"},
          {"critical_path",
           {{{"what", "ssd_read read"}, {"ms", 80.0}, {"tasks", 20}}, {{"what", "compute forward"}, {"ms", 20.0}, {"tasks", 9}}}},
          {"memory", {{{"tier", "host"}, {"name", "slots for weights"}, {"bytes", 4096}, {"detail", "2 of 2 KiB"}}}},
          {"memory_over_time", {{"host", {{0.0, 1024}, {50.0, 4096}}}}},
          {"ssd", {{"read_bytes", 1000}, {"write_bytes", 500}}},
          {"wear", {{"terabytes_a_day", 12.3}, {"rated_terabytes", 600.0}, {"days", 48.8}}}};
}

Json timeline() {
  return {{{"lane", "ssd_read"}, {"row", 0}, {"name", "read unit 0"}, {"step", 5}, {"begin_ms", 0.0}, {"end_ms", 9.0}, {"bytes", 2048}},
          {{"lane", "compute"}, {"row", 0}, {"name", "forward unit 0"}, {"step", 5}, {"begin_ms", 10.0}, {"end_ms", 90.0}, {"bytes", 0}},
          {{"lane", "ssd_read"}, {"row", 1}, {"name", "read unit 0"}, {"step", 6}, {"begin_ms", 95.0}, {"end_ms", 109.0}, {"bytes", 2048}},
          {{"lane", "compute"}, {"row", 0}, {"name", "forward unit 0"}, {"step", 6}, {"begin_ms", 110.0}, {"end_ms", 190.0}, {"bytes", 0}}};
}

Json start_line() {
  return {{"event", "start"},
          {"config", config()},
          {"parameters", 1000},
          {"memory", {{"host", {{{"name", "slots for gradients"}, {"bytes", 8192}, {"detail", ""}}}}}},
          {"prediction", nullptr}};
}

Json step_line(int step, double loss) {
  return {{"step", step},     {"loss", loss},           {"grad_norm", 0.5},       {"learning_rate", 1e-4},
          {"tokens", 4096},   {"step_ms", 110.0},       {"predicted_ms", 99.0},   {"tokens_per_second", 37236.0},
          {"skipped", false}, {"ssd_read_bytes", 1000}, {"ssd_write_bytes", 500}, {"lanes", {{"compute", 55.0}, {"ssd_read", 99.0}}}};
}

Json plan() {
  return {
      {"what", "plan"},
      {"config", config()},
      {"choices", {{{"key", "train.delay"}, {"value", "0.5"}}}},
      {"prediction", prediction()},
      {"binds", "ssd_read"},
      {"buys", {{{"what", "1 GiB more host memory"}, {"step_ms", 90.0}, {"gain_percent", 11.1}}}},
      {"saturation", {{"micro_batches", 16}, {"tokens", 16384}, {"tokens_per_second", 60000.0}}},
      {"batches",
       {{{"micro_batches", 1}, {"tokens", 1024}, {"step_ms", 90.0}, {"tokens_per_second", 11378.0}, {"limits", {{"compute", 70000.0}}}}}},
      {"considered", 120}};
}

Json simulation() {
  return {{"what", "simulation"},
          {"config", config()},
          {"prediction", prediction()},
          {"side_by_side",
           {{{"name", "horizontal"}, {"step_ms", 300.0}, {"tokens_per_second", 13653.0}, {"micro_batches", 4}, {"binds", "ssd_read"}}}}};
}

Json trace() {
  const auto event = [](const char* lane, int thread, const char* name, int step, double begin_ms, double took_ms) {
    return Json{{"name", name},
                {"cat", lane},
                {"ph", "X"},
                {"pid", 1},
                {"tid", thread},
                {"ts", begin_ms * 1e3},
                {"dur", took_ms * 1e3},
                {"args", {{"step", step}, {"bytes", 2048}}}};
  };
  return {{"traceEvents",
           {event("ssd_read", 301, "read unit 0", 6, 0, 2),
            event("compute", 0, "forward unit 0", 6, 3, 80),
            event("compute", 0, "forward unit 0", 7, 103, 80),
            {{"name", "thread_name"}, {"ph", "M"}, {"pid", 1}, {"tid", 0}, {"args", {{"name", "compute"}}}}}},
          {"displayTimeUnit", "ms"}};
}

std::string lines(const std::vector<Json>& lines) {
  std::string text;
  for (const Json& line : lines) text += line.dump() + '\n';
  return text;
}

}  // namespace gsnake::report::test
