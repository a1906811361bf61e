#include "checkpoint/base_folder.h"

#include <filesystem>

#include "base/manifest.h"
#include "checkpoint/rank_folders.h"
#include "greedysnake/error.h"

namespace gsnake::checkpoint {

namespace fs = std::filesystem;

BaseOfRun base_of_run(const std::string& id, const Config& config) {
  const fs::path folder = fs::absolute(config.adapter.base).lexically_normal();
  return {id, folder.lexically_relative(fs::absolute(config.run.dir).lexically_normal()).string()};
}

nlohmann::json to_json(const BaseOfRun& base) { return base.id.empty() ? nlohmann::json() : nlohmann::json{{"id", base.id}, {"relative", base.relative}}; }

BaseOfRun base_from(const nlohmann::json& training) {
  const auto found = training.find("base");
  if (found == training.end() || !found->is_object()) return {};
  return {found->value("id", ""), found->value("relative", "")};
}

void refuse_other_base(const nlohmann::json& training, const std::string& id, const Config& config) {
  const BaseOfRun before = base_from(training);
  if (before.id == id) return;
  const std::string& named = config.adapter.base;
  throw Error(ErrorKind::usage, (named.empty() ? "adapter.base names none" : "adapter.base = " + named + " has other weights") + ", and the run in " + config.run.dir + " was trained beside " +
                                    (before.id.empty() ? "weights of its own" : "the base " + before.id + (before.relative.empty() ? "" : ", which lay at " + before.relative + " from there")) +
                                    "; name that one");
}

std::string base_folder(const Config& config, const nlohmann::json& training) {
  const BaseOfRun base = base_from(training);
  if (config.adapter.base.empty() || base::is_base(config.adapter.base) || base.relative.empty()) return config.adapter.base;
  const fs::path near = (fs::absolute(config.run.dir) / base.relative).lexically_normal();
  return base::is_base(near) ? near.string() : config.adapter.base;
}

std::string base_folder(const Config& config) {
  if (config.adapter.base.empty() || base::is_base(config.adapter.base)) return config.adapter.base;
  try {
    const std::optional<nlohmann::json> training = any_training(config.run.dir, {});
    return training ? base_folder(config, *training) : config.adapter.base;
  } catch (const Error&) {  // what is wrong with the run is for whoever opens it to say
    return config.adapter.base;
  }
}

}  // namespace gsnake::checkpoint
