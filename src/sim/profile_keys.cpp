#include "sim/profile_keys.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string_view>

#include "core/bytes.h"
#include "core/rates.h"
#include "greedysnake/choices.h"
#include "greedysnake/error.h"

namespace gsnake::sim {
namespace {

constexpr double kNone = std::numeric_limits<double>::infinity();

// The least and the most that are allowed; `above`: more than the least.
struct Range {
  double least = 0.0;
  double most = kNone;
  bool above = false;

  [[nodiscard]] bool holds(double value) const {
    return std::isfinite(value) && (above ? value > least : value >= least) && value <= most;
  }
  [[nodiscard]] std::string text() const {
    const std::string low = fmt::format("{} {}", above ? ">" : ">=", least);
    return most == kNone ? low : fmt::format("{} and <= {}", low, most);
  }
};
constexpr Range kPositive{.above = true};

std::optional<double> number_of(const toml::node& node) {
  if (const auto integer = node.value_exact<std::int64_t>()) return static_cast<double>(*integer);
  return node.value_exact<double>();
}

enum class Unit { plain, bytes, flops };

std::optional<double> quantity_of(const toml::node& node, Unit unit) {
  if (const auto number = number_of(node)) return number;
  const auto text = node.value_exact<std::string>();
  if (!text || unit == Unit::plain) return std::nullopt;
  return unit == Unit::bytes ? core::byte_rate_of(*text) : core::flop_rate_of(*text);
}

constexpr const char* example_of(Unit unit) {
  return unit == Unit::bytes ? ", or text such as \"24 GB/s\"" : unit == Unit::flops ? ", or text such as \"60 TFLOP/s\"" : "";
}

template <typename Value>
bool assign_if(bool allowed, Value& to, const Value& value) {
  if (allowed) to = value;
  return allowed;
}

Field number(const char* name, double& value, Range range = {}, Unit unit = Unit::plain) {
  Field field{.name = name, .allowed = "a number " + range.text() + example_of(unit)};
  field.assign = [&value, range, unit](const toml::node& node) {
    const auto read = quantity_of(node, unit);
    return read && assign_if(range.holds(*read), value, *read);
  };
  field.text = [&value] { return fmt::format("{}", value); };
  return field;
}

Field byte_rate(const char* name, double& value) { return number(name, value, {}, Unit::bytes); }

Field integer(const char* name, int& value, int least, int most) {
  Field field{.name = name, .allowed = fmt::format("an integer in {}..{}", least, most)};
  field.assign = [&value, least, most](const toml::node& node) {
    const auto read = node.value_exact<std::int64_t>();
    return read && assign_if(*read >= least && *read <= most, value, static_cast<int>(*read));
  };
  field.text = [&value] { return fmt::format("{}", value); };
  return field;
}

Field boolean(const char* name, bool& value) {
  Field field{.name = name, .allowed = "true or false"};
  field.assign = [&value](const toml::node& node) {
    const auto read = node.value_exact<bool>();
    return read && assign_if(true, value, *read);
  };
  field.text = [&value] { return std::string(value ? "true" : "false"); };
  return field;
}

std::optional<std::uint64_t> bytes_of(const toml::node& node) {
  if (const auto read = node.value_exact<std::int64_t>()) return *read < 0 ? std::nullopt : std::optional(static_cast<std::uint64_t>(*read));
  const auto text = node.value_exact<std::string>();
  if (!text) return std::nullopt;
  try {
    return core::parse_bytes(*text);
  } catch (const Error&) {
    return std::nullopt;
  }
}

Field bytes(const char* name, std::uint64_t& value) {
  Field field{.name = name, .allowed = "bytes, below 2^63: an integer, or text such as \"24 GiB\""};
  field.assign = [&value](const toml::node& node) {
    const auto read = bytes_of(node);
    return read && assign_if(*read <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()), value, *read);
  };
  field.text = [&value] { return fmt::format("{}", value); };
  return field;
}

std::string quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7F) {
      quoted += fmt::format("\\u{:04X}", byte);
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

Field text(const char* name, std::string& value, bool may_be_empty = true) {
  Field field{.name = name, .allowed = may_be_empty ? "text" : "text that is not empty"};
  field.assign = [&value, may_be_empty](const toml::node& node) {
    const auto read = node.value_exact<std::string>();
    return read && assign_if(may_be_empty || !read->empty(), value, *read);
  };
  field.text = [&value] { return quoted(value); };
  return field;
}

Field dtype(std::string& value) {
  Field field = text("dtype", value);
  field.allowed = listed_words<Dtype>();
  field.assign = [&value](const toml::node& node) {
    const auto read = node.value_exact<std::string>();
    return read && assign_if(choice_of<Dtype>(*read).has_value(), value, *read);
  };
  field.names_row = true;
  return field;
}

std::optional<RateCurve> curve_of(const toml::node& node) {
  if (!node.is_array()) {
    const auto rate = quantity_of(node, Unit::bytes);
    if (!rate || !Range{}.holds(*rate)) return std::nullopt;
    return *rate == 0.0 ? RateCurve{} : RateCurve{{.in_flight = 1.0, .per_second = *rate}};
  }
  RateCurve curve;
  for (const toml::node& element : *node.as_array()) {
    const toml::array* pair = element.as_array();
    if (pair == nullptr || pair->size() != 2) return std::nullopt;
    const auto in_flight = number_of((*pair)[0]);
    const auto rate = quantity_of((*pair)[1], Unit::bytes);
    if (!in_flight || !rate || !kPositive.holds(*in_flight) || !kPositive.holds(*rate)) return std::nullopt;
    if (!curve.empty() && *in_flight <= curve.back().in_flight) return std::nullopt;
    curve.push_back({*in_flight, *rate});
  }
  return curve;
}

Field curve(const char* name, RateCurve& value) {
  Field field{.name = name,
              .allowed = "a number >= 0, text such as \"6 GB/s\", or a list of [blocks in flight, rate] with both > 0, the former ascending"};
  field.assign = [&value](const toml::node& node) {
    auto read = curve_of(node);
    if (read) value = std::move(*read);
    return read.has_value();
  };
  field.text = [&value] {
    std::string list;
    for (const RatePoint& point : value) list += fmt::format("{}[{}, {}]", list.empty() ? "" : ", ", point.in_flight, point.per_second);
    return list.empty() ? list : "[" + list + "]";
  };
  return field;
}

Field table(const char* name, Fields fields) { return {.name = name, .table = std::move(fields)}; }

template <typename Row, typename FieldsOf>
Field array(const char* name, std::vector<Row>& rows, FieldsOf fields_of_row) {
  Field field{.name = name};
  field.add_row = [&rows, fields_of_row] { return fields_of_row(rows.emplace_back()); };
  field.rows = [&rows, fields_of_row] {
    std::vector<Fields> all;
    for (Row& row : rows) all.push_back(fields_of_row(row));
    return all;
  };
  return field;
}

Field required(Field field) {
  field.required = true;
  return field;
}

Field names_row(Field field) {
  field.names_row = true;
  return field;
}

Fields compute_rate(ComputeRate& rate) {
  return {dtype(rate.dtype), required(number("per_second", rate.per_second, kPositive, Unit::flops)), number("half_tokens", rate.half_tokens)};
}

Fields unit_time(UnitTime& unit) {
  return {names_row(text("key", unit.key, false)), number("forward", unit.seconds.forward), number("backward", unit.seconds.backward), number("opening", unit.seconds.opening)};
}

Fields optimizer_rate(OptimizerRate& rate) {
  return {dtype(rate.dtype), required(number("per_second", rate.per_second, kPositive, Unit::bytes))};
}

Fields drive(SsdProfile& ssd) {
  return {text("path", ssd.path),
          text("drive", ssd.drive),
          curve("read", ssd.read),
          curve("write", ssd.write),
          number("both", ssd.both, {.least = 1.0, .most = 2.0}),
          number("rated_terabytes", ssd.rated_terabytes)};
}

Fields compute(ComputeProfile& compute) {
  return {text("device", compute.device),
          bytes("memory", compute.memory),
          boolean("unified", compute.unified),
          number("latency", compute.latency),
          byte_rate("updates", compute.updates),
          number("dequantise", compute.dequantise),
          number("cores", compute.share.cores),
          byte_rate("dram", compute.share.dram),
          number("rest_after", compute.rest.after),
          number("rest_factor", compute.rest.factor, {.least = 1.0, .most = 100.0}),
          number("rest_work", compute.rest.work),
          array("rates", compute.rates, compute_rate),
          array("units", compute.units, unit_time)};
}

Fields copy(CopyProfile& copy) {
  return {byte_rate("per_second", copy.per_second), number("latency", copy.latency), number("cores", copy.share.cores),
          number("dram", copy.share.dram)};
}

Fields optimizer(OptimizerProfile& optimizer) {
  return {integer("threads", optimizer.threads, 1, 4096), number("latency", optimizer.latency), number("cores", optimizer.share.cores),
          number("dram", optimizer.share.dram), array("rates", optimizer.rates, optimizer_rate)};
}

Fields link(LinkProfile& link) {
  return {byte_rate("per_second", link.per_second), number("latency", link.latency), byte_rate("adds", link.adds), number("bus", link.bus),
          number("cores", link.share.cores), number("dram", link.share.dram)};
}

}  // namespace

Fields fields_of(MachineProfile& profile) {
  return {text("name", profile.name),
          text("source", profile.source),
          text("key", profile.key),
          table("cpu", {text("name", profile.cpu.name), number("cores", profile.cpu.cores), byte_rate("dram", profile.cpu.dram),
                        bytes("memory", profile.cpu.memory), number("crowding", profile.cpu.crowding, {.least = 1.0, .most = 10.0}),
                        number("hand_over", profile.cpu.hand_over), number("favour", profile.cpu.favour, {.least = 1.0, .most = 10.0})}),
          table("compute", compute(profile.compute)),
          table("h2d", copy(profile.h2d)),
          table("d2h", copy(profile.d2h)),
          table("optimizer", optimizer(profile.optimizer)),
          table("link", link(profile.link)),
          table("ssd", {number("cores", profile.ssd_share.cores), number("dram", profile.ssd_share.dram), number("latency", profile.ssd_latency),
                        number("commit_latency", profile.commit_latency), integer("commit_waits", profile.commit_waits, 0, kMostCommitWaits)}),
          array("ssds", profile.ssds, drive)};
}

}  // namespace gsnake::sim
