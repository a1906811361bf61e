#include <fmt/format.h>
#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/manifest.h"
#include "commands.h"
#include "core/bytes.h"
#include "core/errors.h"
#include "inspected_base.h"
#include "output.h"
#include "ssd_option.h"
#include "store/folder/names.h"
#include "store/layout/layout.h"
#include "store/layout/volume.h"
#include "store/manifest/manifest.h"
#include "store/opening/locate.h"
#include "store/store.h"
#include "verify_progress.h"

namespace gsnake::command {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::string directory;
  std::vector<std::string> ssd_paths;
  bool json = false;
  bool verify = false;
};

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

Json describe_kind(store::Kind kind, const store::KindLayout& layout, const store::StripedVolume& volume, const store::Place& place) {
  const std::string name = store::names_from(place.manifest.storage).of(kind);
  Json files = Json::array();
  for (int path = 0; path < volume.paths(); ++path) {
    const std::uint64_t bytes = volume.file_bytes(path, store::KindMap(layout).volume_bytes());
    const std::string& folder = place.ssd_paths.at(static_cast<std::size_t>(path));
    if (bytes > 0) files.push_back(describe_file(folder + "/" + name, bytes));
  }
  return {{"kind", store::name_of(kind)},
          {"objects", layout.logical_bytes.size()},
          {"logical_bytes", sum(layout.logical_bytes)},
          {"padded_bytes", sum(layout.padded_bytes)},
          {"slots", layout.slots},
          {"files", std::move(files)}};
}

// Those that stand in `directory`. A run in use may replace one while we look.
Json describe_snapshots(const std::string& directory, int slots) {
  Json snapshots = Json::array();
  for (int place = 0; place < slots - 2; ++place) {
    try {
      const std::optional<store::Manifest> manifest = store::read_manifest(directory, store::snapshot_name(place));
      if (!manifest) continue;
      snapshots.push_back({{"place", place}, {"step", manifest->training.at("step")}, {"commit", manifest->generation}});
    } catch (const Error& error) {
      snapshots.push_back({{"place", place}, {"fault", error.what()}});
    }
  }
  return snapshots;
}

// What the state takes on SSD, scratch apart: each parameter's bytes in every slot, and what rounds objects up to whole blocks.
Json describe_space(const store::Manifest& manifest, const store::Layout& layout) {
  const std::uint64_t elements = sum(manifest.training.at("elements").get<std::vector<std::uint64_t>>());
  const std::uint64_t parameters = manifest.training.value("parameters", elements);
  std::uint64_t logical = 0;
  std::uint64_t total = 0;
  for (std::size_t kind = 0; kind < layout.kinds.size(); ++kind) {
    if (!store::is_state(store::kind_at(kind))) continue;
    const store::KindLayout& sizes = layout.kinds[kind];
    for (std::uint32_t object = 0; object < sizes.logical_bytes.size(); ++object) {
      const auto slots = static_cast<std::uint64_t>(sizes.slots_of(object));
      logical += sizes.logical_bytes[object] * slots;
      total += sizes.padded_bytes[object] * slots;
    }
  }
  const double per_parameter = elements == 0 ? 0.0 : static_cast<double>(logical) / static_cast<double>(elements);
  const auto data = static_cast<std::uint64_t>(per_parameter * static_cast<double>(parameters) + 0.5);
  return {{"parameters", parameters},
          {"bytes_per_parameter", per_parameter},
          {"state_bytes", data},
          {"padding_bytes", total - data},
          {"total_bytes", total}};
}

Json describe(const store::Place& place) {
  const store::Manifest& manifest = place.manifest;
  Json description = {{"run_id", manifest.run_id}, {"generation", manifest.generation}};
  for (const char* key : {"step", "updates", "data_cursor"}) description[key] = manifest.training.at(key);
  description["slot"] = store::slot_of(manifest);
  const store::Layout layout = store::state_from_json(manifest.storage.at("kinds"));
  description["slots"] = store::state_slots(layout);
  description["checksums"] = manifest.storage.at("checksums");
  description["snapshots"] = describe_snapshots(place.run_dir, store::state_slots(layout));
  const store::StripedVolume volume(manifest.storage.at("stripe_weights").get<std::vector<double>>());
  description["stripe_weights"] = manifest.storage.at("stripe_weights");
  Json kinds = Json::array();
  for (std::size_t i = 0; i < layout.kinds.size(); ++i) {
    const store::Kind kind = store::kind_at(i);
    const store::KindLayout& kind_layout = layout.kinds[i];
    if (store::is_state(kind) && !kind_layout.padded_bytes.empty()) kinds.push_back(describe_kind(kind, kind_layout, volume, place));
  }
  description["kinds"] = std::move(kinds);
  description["space"] = describe_space(manifest, layout);
  description["config"] = manifest.training.at("config");
  return description;
}

std::string note_of(const Json& file) {
  if (file["bytes_found"].is_null()) return "  MISSING";
  if (file["bytes_found"] == file["bytes"]) return "";
  return fmt::format("  IT HAS {}", core::format_bytes(file["bytes_found"].get<std::uint64_t>()));
}

std::string slots_text(const Json& run) {
  const int slots = run["slots"].get<int>();
  if (slots == 1) return "one slot: the state is overwritten in place";
  const std::string committed = fmt::format("slot {} of A and B is committed", run["slot"] == 0 ? "A" : "B");
  return slots == 2 ? committed : fmt::format("{}; {} more for snapshots", committed, slots - 2);
}

std::string snapshot_text(const Json& snapshot) {
  if (snapshot.contains("fault"))
    return fmt::format("snapshot {}: {}\n", snapshot["place"].get<int>(), snapshot["fault"].get<std::string>());
  return fmt::format("snapshot {}: step {}, of commit {}\n", snapshot["place"].get<int>(), snapshot["step"].get<std::int64_t>(),
                     snapshot["commit"].get<std::uint64_t>());
}

std::string kind_text(const Json& kind) {
  std::string text = fmt::format("{}: {} in {} objects, {} with padding\n", kind["kind"].get<std::string>(),
                                 core::format_bytes(kind["logical_bytes"].get<std::uint64_t>()), kind["objects"].get<std::size_t>(),
                                 core::format_bytes(kind["padded_bytes"].get<std::uint64_t>()));
  for (const Json& file : kind["files"]) {
    text += fmt::format("  {:>12}  {}{}\n", core::format_bytes(file["bytes"].get<std::uint64_t>()), file["file"].get<std::string>(),
                        note_of(file));
  }
  return text;
}

std::string space_text(const Json& space) {
  return fmt::format("state on SSD: {} = {} parameters x {:.4g} bytes, and {} of padding\n",
                     core::format_bytes(space["total_bytes"].get<std::uint64_t>()), space["parameters"].get<std::uint64_t>(),
                     space["bytes_per_parameter"].get<double>(), core::format_bytes(space["padding_bytes"].get<std::uint64_t>()));
}

std::string to_text(const Json& run) {
  const Json& model = run["config"]["model"];
  std::string text = fmt::format("run {} at step {} ({} updates, {} windows of data taken), commit {}\n", run["run_id"].get<std::string>(),
                                 run["step"].get<std::int64_t>(), run["updates"].get<std::int64_t>(),
                                 run["data_cursor"].get<std::uint64_t>(), run["generation"].get<std::uint64_t>());
  text += fmt::format("model {}: {} layers, hidden {}, vocab {}\n", model["family"].get<std::string>(), model["layers"].get<std::int64_t>(),
                      model["hidden"].get<std::int64_t>(), model["vocab"].get<std::int64_t>());
  text += slots_text(run) + '\n';
  const Json& table = run["checksums"];
  text += table.is_null()
              ? "no checksums: the state can't be verified\n"
              : fmt::format("checksums of {} pieces in {}\n", table["entries"].get<std::uint64_t>(), table["file"].get<std::string>());
  for (const Json& snapshot : run["snapshots"]) text += snapshot_text(snapshot);
  text += space_text(run["space"]);
  for (const Json& kind : run["kinds"]) text += kind_text(kind);
  if (run.contains("verified")) {
    text += fmt::format("verified: every byte of {} agrees with its checksum ({:.1f} s)\n",
                        core::format_bytes(run["verified_bytes"].get<std::uint64_t>()), run["verify_seconds"].get<double>());
  }
  return text;
}

// Also while the run is trained: as long as this reads, the trainer commits no other step.
Json verify(store::Place place) {
  store::StoreOptions options;
  options.run_dir = place.run_dir;
  options.ssd_paths = place.ssd_paths;
  const std::unique_ptr<store::Store> store = store::Store::open_reader(options);
  VerifyProgress progress;
  store->verify(std::ref(progress));
  const double seconds = progress.seconds();
  place.ssd_paths = store->ssd_paths();
  place.manifest = *store->manifest();
  Json description = describe(place);
  description["verified"] = true;
  description["verified_bytes"] = progress.bytes();
  description["verify_seconds"] = seconds;
  return description;
}

int inspect_base(const Arguments& arguments) {
  if (!arguments.ssd_paths.empty()) throw Error(ErrorKind::usage, "--ssd: " + arguments.directory + " is a base, which has no SSD paths; leave the option out");
  const Json description = describe_base(arguments.directory, arguments.verify);
  print(arguments.json ? description.dump(2) + "\n" : base_text(description));
  return 0;
}

int run(const Arguments& arguments) {
  if (base::is_base(arguments.directory)) return inspect_base(arguments);
  store::Place place = store::locate(arguments.directory, arguments.ssd_paths);
  try {
    const Json description = arguments.verify ? verify(std::move(place)) : describe(place);
    print(arguments.json ? description.dump(2) + "\n" : to_text(description));
  } catch (const nlohmann::json::exception& error) {
    core::throw_storage("inspect", arguments.directory, fmt::format("its manifest lacks what a training run's has: {}", error.what()),
                        "use the version of greedysnake that wrote it");
  }
  return 0;
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("inspect", "Show what a run directory holds (step, sizes, slots, files), or a base that gsnake quantize made");
  command->add_option("DIR", arguments->directory, "run directory, one of its SSD paths, or a base")->required();
  add_ssd_paths(*command, arguments->ssd_paths);
  command->add_flag("--verify", arguments->verify, "read all state, or all of a base, and check it against its checksums (a run that is being trained commits nothing meanwhile)");
  command->add_flag("--json", arguments->json, "print JSON");
  command->callback([arguments, &action] { action.run = [arguments] { return run(*arguments); }; });
}

}  // namespace gsnake::command
