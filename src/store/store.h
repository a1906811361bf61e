// The SSD tier: objects of a run as extents in preallocated files, striped over the run's SSD paths.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/engine.h"
#include "store/lock.h"
#include "store/manifest.h"
#include "store/volume.h"

namespace gsnake::store {

// One file per kind and path. Weights and moments are state: they have one or two slots (A, B). Gradients (those that wait for the delayed
// part) and activations (checkpoints and their gradients) are scratch: one slot, no meaning after the run.
enum class Kind : std::uint8_t { weights, moment1, moment2, gradients, activations };
inline constexpr int kKindCount = 5;
inline constexpr std::array<const char*, kKindCount> kKindNames{"weights", "moment1", "moment2", "gradients", "activations"};

// Every extent starts and ends on a multiple of this many bytes, whatever the file system asks for (at most this).
inline constexpr std::uint64_t kExtentAlignment = 4096;

struct KindLayout {
  int slots = 1;                             // 1, or 2 for state under durability = "commit"
  std::vector<std::uint64_t> logical_bytes;  // of each object; what counts as data
  std::vector<std::uint64_t> padded_bytes;   // of each object on SSD: a multiple of kExtentAlignment; 0: not on SSD
};

// What is on SSD. A pure function of the model (and, for scratch, of the placement): state's layout does not depend on placement.
struct Layout {
  std::array<KindLayout, kKindCount> kinds;
};

// Part of one object. offset and bytes are multiples of kExtentAlignment.
struct Extent {
  Kind kind = Kind::weights;
  std::uint32_t object = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

struct StoreOptions {
  std::string run_dir;
  std::vector<std::string> ssd_paths;
  std::vector<double> stripe_weights;  // one per path, in proportion to its bandwidth; empty: measured when the store is created
  io::EngineChoice engine = io::EngineChoice::automatic;
  io::EngineOptions engine_options;
  io::DirectIo direct = io::DirectIo::automatic;
  bool overwrite = false;  // create() over an ended run's files
};

struct StoreReport {
  io::EngineReport engine;
  bool direct = false;          // every file is O_DIRECT
  std::string buffered_reason;  // why not, naming the path
  std::vector<double> stripe_weights;
  std::vector<std::uint64_t> bytes_per_path;  // preallocated
};

// Owns the directories' locks, the files and the engine. Thread-safe after construction, except for the manifest calls.
class Store {
 public:
  // Makes run_dir and the SSD paths where absent, locks them (Error(storage) with the owner's pid when in use), checks the space each path
  // needs against what is free, preallocates all files. On failure, removes everything that it made. Refuses (Error(usage)) a run_dir or an
  // SSD path that holds a manifest unless options.overwrite, and a folder that is named twice in ssd_paths; run_dir may be one of them.
  // Files that a run without a manifest left are replaced.
  static std::unique_ptr<Store> create(const StoreOptions& options, const Layout& layout);
  // Opens what the newest valid manifest describes (state kinds and stripe weights from it); scratch kinds are laid out anew from
  // `scratch`, which may be all zero sizes (inspect, generate, export). The SSD paths may be named in another order and under other names
  // than before. Throws Error(storage): no valid manifest, a path that is missing (with what it held) or of another run, in use.
  static std::unique_ptr<Store> open(const StoreOptions& options, const Layout& scratch);
  // Waits for what is in flight, removes scratch files, releases the locks. A store whose create()d run never wrote a manifest keeps its
  // state files and folders only if keep_files() was called.
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  [[nodiscard]] const Layout& layout() const noexcept;
  [[nodiscard]] const StoreReport& report() const noexcept;
  [[nodiscard]] io::IoEngine& engine() noexcept;
  void keep_files() noexcept;
  [[nodiscard]] const std::string& run_id() const noexcept;
  // Of a request's file, for messages.
  [[nodiscard]] const std::string& path_of(int file) const;

  // Splits a transfer of `extent` in `slot` from/to `data` into requests, one per stripe piece (adjacent pieces in one file are merged).
  // Returns how many; at most max_requests(extent.bytes). Never allocates.
  std::size_t plan(io::Op op, const Extent& extent, int slot, std::byte* data, io::Completion* completion,
                   std::span<io::Request> out) const;
  [[nodiscard]] std::size_t max_requests(std::uint64_t bytes) const noexcept;

  // Blocking, for set-up, generate, export, inspect. `data` is kExtentAlignment-aligned. Throws Error(storage).
  void read(const Extent& extent, int slot, std::byte* data);
  void write(const Extent& extent, int slot, const std::byte* data);

  // fdatasync of every state file, then the manifest by temporary file, fsync, rename and fsync of the directory, in run_dir and every SSD
  // path. Takes `training` from its argument and sets the rest. The writes that it covers have completed before the call.
  void commit(Manifest manifest);
  // Removes and syncs the manifest everywhere: what stands on SSD is about to be overwritten in place (slots = 1).
  void retract_manifest();
  // Of the run that open() found, or the last commit().
  [[nodiscard]] const Manifest* manifest() const noexcept;

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gsnake::store
