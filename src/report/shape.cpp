#include "report/shape.h"

#include <fmt/format.h>

#include <algorithm>

namespace gsnake::report {
namespace {

bool is_point(const Json& value) { return value.is_array() && value.size() == 2 && value[0].is_number() && value[1].is_number(); }

bool fits(const Json& value, const std::string& shape) {
  if (shape == "number") return value.is_number();
  if (shape == "text") return value.is_string();
  if (shape == "object") return value.is_object();
  return value.is_array() && std::all_of(value.begin(), value.end(), is_point);
}

[[noreturn]] void refuse_kind(const Json& value, const std::string& wanted, const std::string& file, const std::string& where) {
  refuse(file, fmt::format("{} is a JSON {}, which should be {}", where, value.type_name(), wanted),
         "name a run folder, or what this version's gsnake plan --json or simulate --json printed");
}

Json lanes_shape() { return {{"*", {{"busy_ms", "number"}, {"limit_ms", "number"}}}}; }

Json ssd_shape() { return {{"read_bytes", "number"}, {"write_bytes", "number"}}; }

// A list of objects with these keys.
Json list_of(Json keys) { return Json::array({std::move(keys)}); }

}  // namespace

void require_shape(const Json& value, const Json& shape, const std::string& file, const std::string& where) {
  if (value.is_null()) return;
  if (shape.is_string()) {
    const auto& name = shape.get_ref<const std::string&>();
    if (!fits(value, name))
      refuse_kind(value, name == "points" ? "a list of pairs of numbers" : name == "object" ? "an object" : "a " + name, file, where);
  } else if (shape.is_array()) {
    if (!value.is_array()) refuse_kind(value, "a list", file, where);
    for (std::size_t i = 0; i < value.size(); ++i) {
      const std::string place = fmt::format("{}[{}]", where, i);
      if (value[i].is_null() && shape[0].is_object()) refuse_kind(value[i], "an object", file, place);
      require_shape(value[i], shape[0], file, place);
    }
  } else {
    if (!value.is_object()) refuse_kind(value, "an object", file, where);
    const auto all = shape.find("*");
    for (const auto& [key, entry] : value.items()) {
      const auto found = all != shape.end() ? all : shape.find(key);
      if (found != shape.end()) require_shape(entry, *found, file, where + "." + key);
    }
  }
}

const Json& prediction_shape() {
  static const Json shape = {
      {"machine", "text"},
      {"step_ms", "number"},
      {"first_steps_ms", Json::array({"number"})},
      {"tokens", "number"},
      {"tokens_per_second", "number"},
      {"micro_batches", "number"},
      {"delay", "number"},
      {"lanes", lanes_shape()},
      {"shared", {{"*", {{"limit_ms", "number"}}}}},
      {"binds", "text"},
      {"binding", "text"},
      {"critical_path", list_of({{"what", "text"}, {"ms", "number"}, {"tasks", "number"}})},
      {"memory", list_of({{"tier", "text"}, {"name", "text"}, {"bytes", "number"}, {"detail", "text"}})},
      {"memory_over_time", {{"*", "points"}}},
      {"ssd", ssd_shape()},
      {"wear", {{"terabytes_a_day", "number"}, {"rated_terabytes", "number"}, {"days", "number"}}},
  };
  return shape;
}

const Json& document_shape() {
  static const Json shape = {
      {"what", "text"},
      {"config", "object"},
      {"prediction", prediction_shape()},
      {"side_by_side", list_of({{"name", "text"},
                                {"step_ms", "number"},
                                {"tokens_per_second", "number"},
                                {"micro_batches", "number"},
                                {"lanes", lanes_shape()},
                                {"ssd", ssd_shape()},
                                {"binds", "text"}})},
      {"batches", list_of({{"micro_batches", "number"},
                           {"tokens", "number"},
                           {"step_ms", "number"},
                           {"tokens_per_second", "number"},
                           {"limits", {{"*", "number"}}}})},
      {"choices", list_of({{"key", "text"}, {"value", "text"}})},
      {"binds", "text"},
      {"buys", list_of({{"what", "text"}, {"step_ms", "number"}, {"gain_percent", "number"}})},
      {"saturation", {{"micro_batches", "number"}, {"tokens", "number"}, {"tokens_per_second", "number"}}},
      {"considered", "number"},
  };
  return shape;
}

}  // namespace gsnake::report
