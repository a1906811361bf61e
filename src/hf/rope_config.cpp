#include "hf/rope_config.h"

#include <fmt/format.h>

#include <optional>
#include <tuple>

namespace gsnake::hf {
namespace {

constexpr double kDefaultTheta = 10000.0;
constexpr const char* kOriginal = "original_max_position_embeddings";

struct Rope {
  const char* key = nullptr;
  std::optional<double> theta;
  RopeScaling scaling;
};

// Nothing for a type that is refused, whose other keys are its own.
std::optional<RopeScalingType> read_type(ConfigReader& reader) {
  const Json* newer = reader.find("rope_type");
  const Json* older = reader.find("type");
  const char* key = newer != nullptr || older == nullptr ? "rope_type" : "type";
  if (newer != nullptr && older != nullptr && *newer != *older)
    reader.refuse_key("rope_type", fmt::format("{} is another name for it; leave one of them", reader.named("type")));
  const std::string type = reader.text(key, "default");
  if (type == "default") return RopeScalingType::none;
  if (const auto known = choice_of<RopeScalingType>(type); known && *known != RopeScalingType::none) return *known;
  reader.refuse_key(key, "this build has \"default\", \"linear\" and \"llama3\" only");
  return std::nullopt;
}

// `top` is what stands outside of the object.
void read_llama3(ConfigReader& reader, ConfigReader& top, std::int64_t context, RopeScaling& scaling) {
  scaling.low_freq_factor = reader.positive("low_freq_factor");
  scaling.high_freq_factor = reader.positive("high_freq_factor");
  if (scaling.low_freq_factor >= scaling.high_freq_factor) reader.refuse_key("low_freq_factor", "must be below high_freq_factor");
  const bool is_outside = top.find(kOriginal) != nullptr;
  const std::int64_t outside = top.count(kOriginal, context);
  scaling.original_context = reader.count(kOriginal, outside);
  if (is_outside && scaling.original_context != outside)
    reader.refuse_key(kOriginal, fmt::format("{} says otherwise; leave one of them", top.named(kOriginal)));
}

std::optional<Rope> read_object(ConfigReader& top, const char* key, std::int64_t context) {
  std::optional<ConfigReader> reader = top.object(key);
  if (!reader) return std::nullopt;
  Rope rope{key, {}, {}};
  const std::optional<RopeScalingType> type = read_type(*reader);
  if (!type) return std::nullopt;
  rope.scaling.type = *type;
  if (reader->find("rope_theta") != nullptr) rope.theta = reader->positive("rope_theta");
  reader->require("partial_rotary_factor", 1.0);
  if (rope.scaling.type != RopeScalingType::none) {
    rope.scaling.factor = reader->positive("factor");
    if (rope.scaling.factor < 1.0) reader->refuse_key("factor", "must be a number >= 1");
  }
  if (rope.scaling.type == RopeScalingType::llama3) read_llama3(*reader, top, context, rope.scaling);
  reader->ignore(kOriginal);
  reader->refuse_rest();
  return rope;
}

bool same(const RopeScaling& a, const RopeScaling& b) {
  const auto key = [](const RopeScaling& r) {
    return std::tuple(r.type, r.factor, r.low_freq_factor, r.high_freq_factor, r.original_context);
  };
  return key(a) == key(b);
}

Json scaling_json(const RopeScaling& scaling) {
  if (scaling.type == RopeScalingType::none) return {};
  Json json = {{"rope_type", word_of(scaling.type)}, {"factor", scaling.factor}};
  if (scaling.type == RopeScalingType::llama3) {
    json["low_freq_factor"] = scaling.low_freq_factor;
    json["high_freq_factor"] = scaling.high_freq_factor;
    json[kOriginal] = scaling.original_context;
  }
  return json;
}

}  // namespace

void read_rope(ConfigReader& reader, ModelConfig& model) {
  std::optional<double> theta;
  if (reader.find("rope_theta") != nullptr) theta = reader.positive("rope_theta");
  reader.require("partial_rotary_factor", 1.0);
  const std::optional<Rope> older = read_object(reader, "rope_scaling", model.context);
  const std::optional<Rope> newer = read_object(reader, "rope_parameters", model.context);
  reader.ignore(kOriginal);
  const Rope rope = older ? *older : newer ? *newer : Rope{};
  model.rope_scaling = rope.scaling;
  model.rope_theta = rope.theta.value_or(theta.value_or(kDefaultTheta));
  if (theta && *theta != model.rope_theta)
    reader.refuse_key("rope_theta", fmt::format("{}.rope_theta = {} says otherwise; leave one of them", rope.key, model.rope_theta));
  if (older && newer && (!same(older->scaling, newer->scaling) || newer->theta.value_or(model.rope_theta) != model.rope_theta))
    reader.refuse_key("rope_scaling", fmt::format("{} says otherwise; leave one of them", reader.named("rope_parameters")));
}

void write_rope(Json& json, const ModelConfig& model) {
  for (const char* key : {"rope_parameters", kOriginal}) json.erase(key);
  json.update({{"rope_theta", model.rope_theta}, {"rope_scaling", scaling_json(model.rope_scaling)}});
}

}  // namespace gsnake::hf
