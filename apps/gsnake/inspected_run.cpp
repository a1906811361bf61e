#include "inspected_run.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "core/bytes.h"
#include "greedysnake/error.h"
#include "store/folder/names.h"
#include "store/layout/layout.h"
#include "store/layout/volume.h"
#include "store/manifest/manifest.h"

namespace gsnake::command {
namespace {

using Json = nlohmann::ordered_json;

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

store::Layout layout_of(const store::Place& place) { return store::state_from_json(place.manifest.storage.at("kinds")); }

struct Taken {
  std::uint64_t logical = 0;
  std::uint64_t total = 0;
};

Taken taken_by(const store::Layout& layout) {
  Taken taken;
  for (const store::Kind kind : store::kStateKinds) {
    const store::KindLayout& sizes = layout.kinds[store::index_of(kind)];
    for (std::uint32_t object = 0; object < sizes.logical_bytes.size(); ++object) {
      const auto slots = static_cast<std::uint64_t>(sizes.slots_of(object));
      taken.logical += sizes.logical_bytes[object] * slots;
      taken.total += sizes.padded_bytes[object] * slots;
    }
  }
  return taken;
}

// What the state takes on SSD, scratch apart: each parameter's bytes in every slot, and what rounds objects up to whole blocks.
Json describe_space(const checkpoint::RunPlace& run) {
  const std::uint64_t elements = sum(run.training().at("elements").get<std::vector<std::uint64_t>>());
  const std::uint64_t parameters = run.training().value("parameters", elements);
  std::uint64_t logical = 0;
  std::uint64_t total = 0;
  for (const store::Place& share : run.shares) {
    const Taken taken = taken_by(layout_of(share));
    logical += taken.logical;
    total += taken.total;
  }
  const double per_parameter = elements == 0 ? 0.0 : static_cast<double>(logical) / static_cast<double>(elements);
  const auto data = static_cast<std::uint64_t>(per_parameter * static_cast<double>(parameters) + 0.5);
  return {{"parameters", parameters},
          {"bytes_per_parameter", per_parameter},
          {"state_bytes", data},
          {"padding_bytes", total - data},
          {"total_bytes", total}};
}

void describe_training(const nlohmann::json& training, Json& description) {
  for (const char* key : {"step", "updates", "data_cursor"}) description[key] = training.at(key);
}

// What stands in one rank's folders, beside what it says of the training.
void describe_storage(const store::Place& place, Json& description) {
  const store::Manifest& manifest = place.manifest;
  description["slot"] = store::slot_of(manifest);
  const store::Layout layout = layout_of(place);
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
}

Json describe_share(std::size_t rank, const store::Place& place) {
  Json share = {{"rank", rank}, {"run_dir", place.run_dir}, {"ssd_paths", place.ssd_paths}, {"run_id", place.manifest.run_id}, {"generation", place.manifest.generation}};
  share["total_bytes"] = taken_by(layout_of(place)).total;
  describe_storage(place, share);
  return share;
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

std::string storage_text(const Json& storage) {
  std::string text = slots_text(storage) + '\n';
  const Json& table = storage["checksums"];
  text += table.is_null()
              ? "no checksums: the state can't be verified\n"
              : fmt::format("checksums of {} pieces in {}\n", table["entries"].get<std::uint64_t>(), table["file"].get<std::string>());
  for (const Json& snapshot : storage["snapshots"]) text += snapshot_text(snapshot);
  return text;
}

std::string share_text(const Json& share) {
  std::string text = fmt::format("rank {}: {} in {}, run {}, commit {}\n", share["rank"].get<std::size_t>(), core::format_bytes(share["total_bytes"].get<std::uint64_t>()),
                                 share["run_dir"].get<std::string>(), share["run_id"].get<std::string>(), share["generation"].get<std::uint64_t>());
  text += storage_text(share);
  for (const Json& kind : share["kinds"]) text += kind_text(kind);
  return text;
}

std::string first_line(const Json& run, bool shared) {
  const std::string which = shared ? fmt::format("run of {} ranks", run["ranks"].get<std::size_t>()) : fmt::format("run {}", run["run_id"].get<std::string>());
  const std::string commit = shared ? "" : fmt::format(", commit {}", run["generation"].get<std::uint64_t>());
  return fmt::format("{} at step {} ({} updates, {} windows of data taken){}\n", which, run["step"].get<std::int64_t>(), run["updates"].get<std::int64_t>(),
                     run["data_cursor"].get<std::uint64_t>(), commit);
}

}  // namespace

Json describe_run(const checkpoint::RunPlace& run) {
  Json description;
  if (run.shares.size() == 1) description = {{"run_id", run.shares[0].manifest.run_id}, {"generation", run.shares[0].manifest.generation}};
  description["ranks"] = run.shares.size();
  describe_training(run.training(), description);
  if (run.shares.size() == 1) {
    describe_storage(run.shares[0], description);
  } else {
    for (std::size_t rank = 0; rank < run.shares.size(); ++rank) description["shares"].push_back(describe_share(rank, run.shares[rank]));
  }
  description["space"] = describe_space(run);
  description["config"] = run.training().at("config");
  return description;
}

std::string run_text(const Json& run) {
  const bool shared = run.contains("shares");
  const Json& model = run["config"]["model"];
  std::string text = first_line(run, shared);
  text += fmt::format("model {}: {} layers, hidden {}, vocab {}\n", model["family"].get<std::string>(), model["layers"].get<std::int64_t>(),
                      model["hidden"].get<std::int64_t>(), model["vocab"].get<std::int64_t>());
  if (!shared) text += storage_text(run);
  text += space_text(run["space"]);
  if (shared) {
    for (const Json& share : run["shares"]) text += share_text(share);
  } else {
    for (const Json& kind : run["kinds"]) text += kind_text(kind);
  }
  if (run.contains("verified")) {
    text += fmt::format("verified: every byte of {} agrees with its checksum ({:.1f} s)\n",
                        core::format_bytes(run["verified_bytes"].get<std::uint64_t>()), run["verify_seconds"].get<double>());
  }
  return text;
}

}  // namespace gsnake::command
