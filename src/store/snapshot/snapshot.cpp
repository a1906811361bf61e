#include "store/snapshot/snapshot.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "core/errors.h"
#include "core/log.h"
#include "store/manifest/commit.h"
#include "store/transfer/stream.h"

namespace gsnake::store {
namespace {

constexpr std::uint64_t kPieceBytes = 4ULL << 20;  // of a commit that has no checksums: the snapshot has

std::string snapshot_table(int place) { return fmt::format("checksums-snapshot-{}.bin", place); }

std::vector<Extent> pieces_of(const Committed& commit, const Layout& layout) {
  std::vector<Extent> pieces;
  for (const Checksum& checksum : commit.checksums) pieces.push_back(checksum.extent);
  if (!pieces.empty()) return pieces;
  for (std::size_t kind = 0; kind < layout.kinds.size(); ++kind) {
    if (!is_state(kind_at(kind))) continue;
    const std::vector<std::uint64_t>& sizes = layout.kinds[kind].padded_bytes;
    for (std::uint32_t object = 0; object < sizes.size(); ++object) {
      for (std::uint64_t offset = 0; offset < sizes[object]; offset += kPieceBytes) {
        pieces.push_back({kind_at(kind), object, offset, std::min(kPieceBytes, sizes[object] - offset)});
      }
    }
  }
  return pieces;
}

bool is_frozen(const Layout& layout, const Extent& piece) { return layout.kinds[index_of(piece.kind)].is_frozen(piece.object); }

// Of pieces that stay where they are, as the commit has them.
std::vector<Checksum> frozen_state(Store& store, const Committed& commit, const std::vector<Extent>& pieces) {
  std::vector<Checksum> frozen;
  for (const Checksum& checksum : commit.checksums) {
    if (is_frozen(store.layout(), checksum.extent)) frozen.push_back(checksum);
  }
  if (!commit.checksums.empty()) return frozen;
  const std::vector<std::uint64_t> hashes = store.hash(pieces, commit.slot);
  for (std::size_t i = 0; i < pieces.size(); ++i) frozen.push_back({pieces[i], hashes[i]});
  return frozen;
}

// The state of `commit` into another slot, checked on the way; what is frozen stands there already. Returns the checksums of all.
std::vector<Checksum> copy_state(Store& store, const Committed& commit, const StreamTarget& target, const ByteProgress& progress) {
  std::vector<Extent> moving = pieces_of(commit, store.layout());
  const auto first_frozen = std::stable_partition(moving.begin(), moving.end(), [&](const Extent& piece) { return !is_frozen(store.layout(), piece); });
  std::vector<Checksum> copied = frozen_state(store, commit, {first_frozen, moving.end()});
  moving.erase(first_frozen, moving.end());
  std::vector<Checksum> expected;
  for (const Checksum& checksum : commit.checksums) {
    if (!is_frozen(store.layout(), checksum.extent)) expected.push_back(checksum);
  }
  std::uint64_t total = 0;
  for (const Extent& piece : moving) total += piece.bytes;
  std::uint64_t done = 0;
  stream_extents(store, moving, target, [&](std::size_t i, std::uint64_t xxh3) {
    if (!expected.empty() && expected[i].xxh3 != xxh3) throw_mismatch(store, expected[i], commit.slot, xxh3);
    copied.push_back({moving[i], xxh3});
    done += moving[i].bytes;
    if (progress) progress(done, total);
  });
  return copied;
}

std::shared_ptr<const Committed> read_snapshot(const StoreState& state, const std::string& directory, int place) {
  const std::optional<Manifest> manifest = read_manifest(directory, snapshot_name(place));
  if (!manifest) return nullptr;
  const std::optional<TableReference> table = table_of(*manifest);
  if (manifest->run_id != state.run_id || slot_of(*manifest) != 2 + place || !table) {
    core::throw_storage("use", directory + "/" + snapshot_name(place), "it is another run's or another place's", "remove it");
  }
  auto snapshot = std::make_shared<Committed>();
  snapshot->manifest = *manifest;
  snapshot->slot = 2 + place;
  snapshot->checksums = read_table(directory, *table);
  if (const std::string fault = tiling_fault(snapshot->checksums, state.layout); !fault.empty()) {
    core::throw_storage("use", directory + "/" + table->file, fault, "remove it");
  }
  return snapshot;
}

}  // namespace

SnapshotMap read_snapshots(const StoreState& state) {
  SnapshotMap snapshots;
  for (int place = 0; place < state_slots(state.layout) - 2; ++place) {
    for (const std::string& directory : state.directories()) {
      try {
        const std::shared_ptr<const Committed> found = read_snapshot(state, directory, place);
        if (found) snapshots.emplace(place, found);
      } catch (const Error& error) {
        spdlog::warn("{} (a snapshot; used instead: its copies in the other folders, if there are)", error.what());
      }
    }
  }
  return snapshots;
}

std::shared_ptr<const Committed> find_step(const SnapshotMap& snapshots, const Manifest& last, std::int64_t step) {
  if (step_of(last.training) == step) return nullptr;
  std::shared_ptr<const Committed> wanted;
  std::vector<std::int64_t> steps;
  if (const auto own = step_of(last.training)) steps.push_back(*own);
  for (const auto& [place, snapshot] : snapshots) {
    const std::optional<std::int64_t> own = step_of(snapshot->manifest.training);
    if (own) steps.push_back(*own);
    if (own == step && (!wanted || snapshot->manifest.generation > wanted->manifest.generation)) wanted = snapshot;
  }
  if (wanted) return wanted;
  std::sort(steps.begin(), steps.end());
  throw Error(ErrorKind::usage, fmt::format("run {} holds no state of step {}, but of {}; name one of these (--resume-from)", last.run_id, step,
                                            fmt::join(steps, ", ")));
}

int Store::snapshot_places() const noexcept { return std::max(0, state_slots(impl_->layout) - 2); }

std::vector<Snapshot> Store::snapshots() const {
  std::vector<Snapshot> all;
  for (const auto& [place, snapshot] : impl_->snapshots()) all.push_back({place, snapshot->manifest.training});
  return all;
}

void Store::snapshot(int place) {
  impl_->require_writable("keep a snapshot of");
  const std::shared_ptr<const Committed> commit = impl_->last_commit();
  if (!commit || place < 0 || place >= snapshot_places()) {
    throw Error(ErrorKind::usage, fmt::format("cannot put a snapshot of run {} into place {}: {}", run_id(), place,
                                              commit ? fmt::format("it has {} places", snapshot_places()) : "it has no commit"));
  }
  impl_->set_snapshot(place, nullptr);
  for (const std::string& directory : impl_->directories()) {
    remove_file(*impl_->sync, directory + "/" + snapshot_name(place));
    // Even if it was absent: a process that was killed may have removed it, and the drive not know of it.
    sync_directory(*impl_->sync, directory);
  }
  const int slot = 2 + place;
  const std::vector<Checksum> copied = copy_state(*this, *commit, {commit->slot, slot, impl_->stream_blocks, true}, {});
  sync_state(*impl_);
  const Commit made{slot, commit->manifest.training, copied};
  const std::shared_ptr<const Committed> snapshot = make_record(*impl_, commit->manifest.generation, made, snapshot_table(place));
  write_record(*impl_, impl_->directories(), snapshot_name(place), *snapshot, Previous::leave);
  impl_->set_snapshot(place, snapshot);
}

void Store::go_back(std::int64_t step) {
  const std::shared_ptr<const Committed> last = impl_->last_commit();
  const auto progress = [this](const char* what) {
    return [this, what](std::uint64_t done, std::uint64_t total) {
      if (impl_->progress) impl_->progress(what, done, total);
    };
  };
  const std::shared_ptr<const Committed> wanted = find_step(impl_->snapshots(), last->manifest, step);
  if (!wanted) return verify(progress("checking the state against its checksums"));
  const int slot = 1 - last->slot;
  const std::vector<Checksum> copied = copy_state(*this, *wanted, {wanted->slot, slot, impl_->stream_blocks}, progress("going back: copying the snapshot"));
  commit({slot, wanted->manifest.training, copied});
  impl_->verified_generation = impl_->generation;  // piece by piece, as it was copied
  spdlog::info("run {} goes back from commit {} to the snapshot of step {}", run_id(), last->manifest.generation, step);
}

}  // namespace gsnake::store
