#include "store/state.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

#include "core/errors.h"
#include "core/log.h"
#include "core/utf8.h"
#include "store/folder/paths.h"
#include "store/layout/space.h"
#include "store/transfer/stream.h"

namespace gsnake::store {
namespace {

// Of a folder as it is: a link may lead to a name that its own says nothing of.
std::string absolute(const std::string& path) {
  std::string real = resolved(path);
  if (!core::is_utf8(real))
    throw Error(ErrorKind::usage, fmt::format("cannot use {}: its name is not UTF-8, and manifests hold no other; rename it, or choose another folder", core::quoted(real)));
  return real;
}

// Without O_DIRECT where that asks for more than extents have.
io::File open_aligned(const std::string& path, io::DirectIo direct, io::Access access) {
  io::File file = io::File::open_existing(path, direct, access);
  return file.alignment() > kExtentAlignment ? io::File::open_existing(path, io::DirectIo::off, access) : std::move(file);
}

}  // namespace

std::vector<std::string> StoreState::directories() const {
  std::vector<std::string> all{run_dir};
  std::copy_if(ssd_paths.begin(), ssd_paths.end(), std::back_inserter(all), [this](const std::string& path) { return path != run_dir; });
  return all;
}

std::uint64_t StoreState::file_bytes(Kind kind, std::size_t path) const {
  return volume->file_bytes(static_cast<int>(path), maps[index_of(kind)].volume_bytes());
}

std::string StoreState::file_path(Kind kind, std::size_t path) const { return ssd_paths[path] + "/" + names.of(kind); }

std::shared_ptr<const Committed> StoreState::last_commit() const {
  const std::lock_guard guard(committed_mutex_);
  return committed_;
}

void StoreState::set_last_commit(std::shared_ptr<const Committed> commit) {
  const std::lock_guard guard(committed_mutex_);
  committed_ = std::move(commit);
}

SnapshotMap StoreState::snapshots() const {
  const std::lock_guard guard(committed_mutex_);
  return snapshots_;
}

void StoreState::set_snapshots(SnapshotMap snapshots) {
  const std::lock_guard guard(committed_mutex_);
  snapshots_ = std::move(snapshots);
}

void StoreState::set_snapshot(int place, const std::shared_ptr<const Committed>& snapshot) {
  const std::lock_guard guard(committed_mutex_);
  if (snapshot) {
    snapshots_[place] = snapshot;
  } else {
    snapshots_.erase(place);
  }
}

void StoreState::require_writable(const char* operation) const {
  if (reads_only) throw Error(ErrorKind::usage, fmt::format("cannot {} run {}: it was opened for reading", operation, run_id));
}

std::function<void()> StoreState::waits_for_readers() const {
  return [this] {
    if (progress) progress("waiting for a process that reads the run", 0, 0);
  };
}

void StoreState::take_options(const StoreOptions& options) {
  if (options.sync != nullptr) sync = options.sync;
  progress = options.progress;
  stream_blocks = std::max<std::size_t>(2, options.stream_bytes / kStreamBlockBytes);
}

void StoreState::resolve(const StoreOptions& options) {
  take_options(options);
  if (options.ssd_paths.empty()) throw Error(ErrorKind::usage, "ssd.paths is empty; name at least one folder");
  ssd_paths.clear();
  run_dir = absolute(options.run_dir);
  for (const std::string& given : options.ssd_paths) {
    const std::string path = absolute(given);
    for (const std::string& other : ssd_paths) {
      if (same_folder(path, other))
        throw Error(ErrorKind::usage, fmt::format("ssd.paths names one folder twice ({}, {}); name it once", other, given));
    }
    if (same_folder(path, run_dir)) run_dir = path;
    ssd_paths.push_back(path);
  }
}

void StoreState::lock_directories() {
  for (const std::string& directory : directories()) footprint.lock(directory, run_id);
}

void StoreState::set_layout(const Layout& new_layout, const std::vector<double>& stripe_weights) {
  layout = new_layout;
  volume.emplace(stripe_weights);
  report.stripe_weights = stripe_weights;
  report.bytes_per_path.assign(ssd_paths.size(), 0);
  for (std::size_t i = 0; i < maps.size(); ++i) {
    maps[i] = KindMap(layout.kinds[i]);
    for (std::size_t path = 0; path < ssd_paths.size(); ++path) report.bytes_per_path[path] += file_bytes(kind_at(i), path);
    file_ids[i].assign(ssd_paths.size(), -1);
  }
}

void StoreState::start_engine(const StoreOptions& options) {
  const core::KeptTo as_its_threads(options.cpus);
  own_engine = io::make_engine(options.engine, ssd_paths.front(), options.engine_options, &report.engine);
  if (options.wrap_engine) own_engine = options.wrap_engine(std::move(own_engine));
  engine = own_engine.get();
  report.direct = true;
}

void StoreState::create_files(Kind kind, io::DirectIo direct) {
  for (std::size_t path = 0; path < ssd_paths.size(); ++path) {
    const std::uint64_t bytes = file_bytes(kind, path);
    if (bytes == 0) continue;
    const std::string name = file_path(kind, path);
    if (progress) progress(fmt::format("preallocating {}", name), 0, 0);
    io::File file = io::File::create(name, bytes, direct);
    is_state(kind) ? footprint.add_state_file(name) : footprint.add_scratch_file(name);
    if (file.alignment() > kExtentAlignment) file = io::File::open_existing(name, io::DirectIo::off);
    file_ids[index_of(kind)][path] = adopt(std::move(file), kind);
  }
}

void StoreState::open_files(Kind kind, io::DirectIo direct) {
  for (std::size_t path = 0; path < ssd_paths.size(); ++path) {
    const std::uint64_t bytes = file_bytes(kind, path);
    if (bytes == 0) continue;
    const std::string name = file_path(kind, path);
    const io::Access access = reads_only ? io::Access::read_only : io::Access::read_write;
    io::File file = open_aligned(name, direct, access);
    if (file.size_bytes() < bytes) {
      core::throw_storage("use", name, fmt::format("it has {} B where run {} needs {} B", file.size_bytes(), run_id, bytes),
                          "restore the file, or start over with --overwrite");
    }
    file_ids[index_of(kind)][path] = adopt(std::move(file), kind);
  }
}

void StoreState::open_base(const StoreOptions& options) {
  if (!options.base) return;
  io::File file = open_aligned(options.base->path, options.direct, io::Access::read_only);
  for (const BaseFile::Place& place : options.base->objects) {
    const bool aligned = place.offset % kExtentAlignment == 0 && place.bytes % kExtentAlignment == 0;
    if (!aligned) throw std::logic_error("store: an object of a base is not aligned");
    if (place.bytes <= file.size_bytes() && place.offset <= file.size_bytes() - place.bytes) continue;
    const std::string reason = fmt::format("it has {} B, and an object ends at {}", file.size_bytes(), place.offset + place.bytes);
    core::throw_storage("use", options.base->path, reason, "the base is damaged: make it again with gsnake quantize, or copy it anew");
  }
  base = options.base;
  base_file = adopt(std::move(file), Kind::base);
}

int StoreState::adopt(io::File file, Kind kind) {
  OpenFile& entry = files.emplace_back(OpenFile{std::move(file), kind, -1});
  entry.id = engine->add_file(entry.file);
  if (!entry.file.direct() && report.direct) {
    report.direct = false;
    const std::string& reason = entry.file.buffered_reason();
    report.buffered_reason =
        entry.file.path() + ": " + (reason.empty() ? "O_DIRECT needs more than 4096-byte alignment or is off" : reason);
  }
  return entry.id;
}

std::string describe(const Extent& extent, int slot) { return fmt::format("object {} of {}, slot {}", extent.object, name_of(extent.kind), slot); }

std::uint64_t allocated_bytes(const StoreState& state, std::size_t path, std::span<const Kind> kinds) {
  std::uint64_t sum = 0;
  for (const Kind kind : kinds) {
    struct stat status {};
    if (::lstat(state.file_path(kind, path).c_str(), &status) == 0) sum += static_cast<std::uint64_t>(status.st_blocks) * 512;
  }
  return sum;
}

void remove_files(const StoreState& state, std::span<const Kind> kinds) {
  for (std::size_t path = 0; path < state.ssd_paths.size(); ++path) {
    for (const Kind kind : kinds) {
      const std::string name = state.file_path(kind, path);
      if (state.sync->unlink(name.c_str()) == 0) {
        spdlog::info("removed {}, which an earlier run left", name);
      } else if (errno != ENOENT) {
        core::throw_storage("remove", name, core::errno_code(), "remove it by hand or choose another folder");
      }
    }
  }
}

void check_space_for(const StoreState& state, std::span<const Kind> kinds) {
  std::vector<SpaceNeed> needs;
  for (std::size_t path = 0; path < state.ssd_paths.size(); ++path) {
    SpaceNeed need{state.ssd_paths[path], 0, allocated_bytes(state, path, kinds)};
    for (const Kind kind : kinds) need.bytes += state.file_bytes(kind, path);
    needs.push_back(std::move(need));
  }
  check_space(needs);
}

}  // namespace gsnake::store
