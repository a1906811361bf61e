#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "commands.h"
#include "core/bytes.h"
#include "core/errors.h"
#include "store/layout.h"
#include "store/manifest.h"
#include "store/volume.h"

namespace gsnake::command {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array kStateKinds{store::Kind::weights, store::Kind::moment1, store::Kind::moment2};

struct Arguments {
  std::string directory;
  bool json = false;
  bool verify = false;
};

store::Manifest read(const std::string& directory) {
  std::optional<store::Manifest> manifest = store::read_manifest(directory);
  if (!manifest) {
    core::throw_storage("inspect", directory, fmt::format("there is no {} in it", store::kManifestName),
                        "name a run directory or one of its SSD paths, after a commit");
  }
  return *std::move(manifest);
}

std::uint64_t sum(const std::vector<std::uint64_t>& values) {
  std::uint64_t total = 0;
  for (const std::uint64_t value : values) total += value;
  return total;
}

// Expected from the layout, and as it stands: null where there is no such file.
Json describe_file(const std::string& path, std::uint64_t expected_bytes) {
  struct stat status {};
  const bool present = ::stat(path.c_str(), &status) == 0;
  return {{"file", path}, {"bytes", expected_bytes}, {"bytes_found", present ? Json(status.st_size) : Json()}};
}

Json describe_kind(store::Kind kind, const store::KindLayout& layout, const store::StripedVolume& volume, const nlohmann::json& paths) {
  Json files = Json::array();
  for (int path = 0; path < volume.paths(); ++path) {
    const std::uint64_t bytes = volume.file_bytes(path, store::KindMap(layout).volume_bytes());
    const std::string folder = paths.at(static_cast<std::size_t>(path)).at("path").get<std::string>();
    if (bytes > 0) files.push_back(describe_file(folder + "/" + store::file_name(kind), bytes));
  }
  return {{"kind", store::name_of(kind)},
          {"objects", layout.logical_bytes.size()},
          {"logical_bytes", sum(layout.logical_bytes)},
          {"padded_bytes", sum(layout.padded_bytes)},
          {"slots", layout.slots},
          {"files", std::move(files)}};
}

Json describe(const store::Manifest& manifest) {
  Json description = {{"run_id", manifest.run_id}, {"generation", manifest.generation}};
  for (const char* key : {"step", "updates", "data_cursor"}) description[key] = manifest.training.at(key);
  description["slot"] = store::slot_of(manifest);
  const store::Layout layout = store::state_from_json(manifest.storage.at("kinds"));
  const store::StripedVolume volume(manifest.storage.at("stripe_weights").get<std::vector<double>>());
  description["stripe_weights"] = manifest.storage.at("stripe_weights");
  Json kinds = Json::array();
  for (const store::Kind kind : kStateKinds) {
    const store::KindLayout& kind_layout = layout.kinds[store::index_of(kind)];
    if (!kind_layout.padded_bytes.empty()) kinds.push_back(describe_kind(kind, kind_layout, volume, manifest.storage.at("paths")));
  }
  description["kinds"] = std::move(kinds);
  description["config"] = manifest.training.at("config");
  return description;
}

std::string note_of(const Json& file) {
  if (file["bytes_found"].is_null()) return "  MISSING";
  if (file["bytes_found"] == file["bytes"]) return "";
  return fmt::format("  IT HAS {}", core::format_bytes(file["bytes_found"].get<std::uint64_t>()));
}

std::string to_text(const Json& run) {
  const Json& model = run["config"]["model"];
  std::string text = fmt::format("run {} at step {} ({} updates, {} windows of data taken), commit {}\n", run["run_id"].get<std::string>(),
                                 run["step"].get<std::int64_t>(), run["updates"].get<std::int64_t>(),
                                 run["data_cursor"].get<std::uint64_t>(), run["generation"].get<std::uint64_t>());
  text += fmt::format("model {}: {} layers, hidden {}, vocab {}\n", model["family"].get<std::string>(), model["layers"].get<std::int64_t>(),
                      model["hidden"].get<std::int64_t>(), model["vocab"].get<std::int64_t>());
  for (const Json& kind : run["kinds"]) {
    const bool two = kind["slots"] == 2;
    text += fmt::format("{}: {} in {} objects, {} with padding, {}\n", kind["kind"].get<std::string>(),
                        core::format_bytes(kind["logical_bytes"].get<std::uint64_t>()), kind["objects"].get<std::size_t>(),
                        core::format_bytes(kind["padded_bytes"].get<std::uint64_t>()),
                        two ? fmt::format("two slots, {} is committed", run["slot"] == 0 ? "A" : "B") : "one slot");
    for (const Json& file : kind["files"]) {
      text += fmt::format("  {:>12}  {}{}\n", core::format_bytes(file["bytes"].get<std::uint64_t>()), file["file"].get<std::string>(),
                          note_of(file));
    }
  }
  return text;
}

int run(const Arguments& arguments) {
  if (arguments.verify) throw Error(ErrorKind::usage, "--verify: this build stores no checksums of the state; leave it out");
  const store::Manifest manifest = read(arguments.directory);
  try {
    const Json description = describe(manifest);
    std::fputs((arguments.json ? description.dump(2) + "\n" : to_text(description)).c_str(), stdout);
  } catch (const nlohmann::json::exception& error) {
    core::throw_storage("inspect", arguments.directory, fmt::format("its manifest lacks what a training run's has: {}", error.what()),
                        "use the version of greedysnake that wrote it");
  }
  return 0;
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("inspect", "Show what a run directory holds: step, sizes, slots, files");
  command->add_option("DIR", arguments->directory, "run directory, or one of its SSD paths")->required();
  command->add_flag("--verify", arguments->verify, "check the bytes against their checksums (refused: this build stores none)");
  command->add_flag("--json", arguments->json, "print JSON");
  command->callback([arguments, &action] { action.run = [arguments] { return run(*arguments); }; });
}

}  // namespace gsnake::command
