// The SSD tier: objects of a run as extents in preallocated files, striped over the run's SSD paths.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/topology.h"
#include "io/durable.h"
#include "io/engine.h"
#include "store/layout/objects.h"
#include "store/manifest/found_commit.h"
#include "store/manifest/manifest.h"

namespace gsnake::store {

struct Committed;

struct Commit {
  int slot = 0;                         // that the state stands in, of every kind
  nlohmann::json training;              // step, counters, data cursor, config
  std::span<const Checksum> checksums;  // of all state; empty: none are stored, and the commit can't be verified
};

// A commit that needs nothing more to be durable, but does not count yet.
class PreparedCommit {
 public:
  [[nodiscard]] std::uint64_t generation() const noexcept;

 private:
  friend class Store;
  explicit PreparedCommit(std::shared_ptr<const Committed> record) : record_(std::move(record)) {}
  std::shared_ptr<const Committed> record_;
};

// A commit's state that was put aside.
struct Snapshot {
  int place = 0;
  nlohmann::json training;
};

// What it throws ends the work and is thrown on.
using ByteProgress = std::function<void(std::uint64_t done_bytes, std::uint64_t total_bytes)>;
// The same for what takes long in open() and create(): what is done now, and how far it is where that is known (else 0 of 0). Whoever
// throws leaves the last commit as it was.
using SetUpProgress = std::function<void(const std::string& what, std::uint64_t done_bytes, std::uint64_t total_bytes)>;

// The bytes of one of several extents, block by block; valid during the call.
using BlockVisitor = std::function<void(std::size_t extent, std::span<const std::byte> bytes)>;

// What one of several ranks that share a run's objects keeps its own part of each in: a store of its own.
struct ShareFolders {
  std::string run_dir;
  std::vector<std::string> ssd_paths;
};

// Packed objects of the run, in a file that many runs read at once and none writes.
struct BaseFile {
  struct Place {
    std::uint64_t offset = 0;  // in the file: a multiple of kExtentAlignment, as `bytes`
    std::uint64_t bytes = 0;   // 0: the base has no such object
  };
  std::string path;
  std::vector<Place> objects;  // by object of the run
};

struct StoreOptions {
  std::string run_dir;
  std::vector<std::string> ssd_paths;
  std::vector<double> stripe_weights;  // one per path, in proportion to its bandwidth; empty: measured when the store is created
  io::EngineChoice engine = io::EngineChoice::automatic;
  io::EngineOptions engine_options;
  core::Cpus cpus;  // that the engine's threads keep to; empty: any
  io::DirectIo direct = io::DirectIo::automatic;
  bool overwrite = false;                 // create() over an ended run's files
  // What the caller makes in run_dir (add_folder(), add_file()): refused, as what has the store's own names is, where it is not a run's.
  std::vector<std::string> names_in_run_dir;
  std::optional<std::int64_t> from_step;  // open() makes the snapshot whose training["step"] this is the last commit
  std::optional<std::uint64_t> generation;  // open() takes this commit of those that commits_of() tells of
  std::optional<BaseFile> base;           // opened for reading alone, never synced, counted or removed
  int snapshot_places = 0;                // open() lengthens the state files where they have room for fewer snapshots
  // Asked by open() about the commit that counts, or the snapshot of from_step, before anything changes; what it throws ends open().
  std::function<void(const nlohmann::json& training, const Layout& layout)> accept;
  SetUpProgress progress;                 // may be empty
  std::uint64_t stream_bytes = 32ULL << 20;  // memory for reading long runs of state (verify(), hash(), snapshot()); 2 MiB at the least
  io::SyncOps* sync = nullptr;                // borrowed; nullptr: the kernel's
  // Of tests: what stands between the store and the engine that it has made, or in that engine's place.
  std::function<std::unique_ptr<io::IoEngine>(std::unique_ptr<io::IoEngine>)> wrap_engine;
};

struct StoreReport {
  io::EngineReport engine;
  bool direct = false;          // every file is O_DIRECT
  std::string buffered_reason;  // why not, naming the path
  std::vector<double> stripe_weights;
  std::vector<std::uint64_t> bytes_per_path;  // preallocated
};

struct Choice;
struct Copy;

// Owns the directories' locks, the files and the engine. Thread-safe after construction, except that commit(), its two halves and
// retract_manifest() are for one thread at a time.
class Store {
 public:
  // Makes run_dir and the SSD paths where absent, locks them (Error(storage) with the owner's pid when in use), checks the space each path
  // needs against what is free, preallocates all files. On failure, removes everything that it made. Refuses (Error(usage)) a run_dir or an
  // SSD path that holds a manifest unless options.overwrite, and a folder that is named twice in ssd_paths; run_dir may be one of them.
  // Files that a run without a manifest left are replaced; those that have our names and are not a run's are refused (Error(storage)).
  static std::unique_ptr<Store> create(const StoreOptions& options, const Layout& layout);
  // Opens what the newest valid manifest describes (state kinds and stripe weights from it); scratch kinds are laid out anew from
  // `scratch`, which may be all zero sizes (inspect, generate, export). The SSD paths may be named in another order and under other names
  // than before. A torn newest commit falls back on the one before if all its checksums verify. With from_step, that snapshot is verified,
  // copied into the slot that the last commit does not own and committed; that of the last commit itself is verified. Without a generation, a
  // commit that was prepared and not published is gone for good; with one, every commit of a later generation is, one that was prepared is
  // published, and one that was replaced counts only if all its checksums verify. Throws Error(storage): no valid manifest, a path that is missing (with what it held) or of another run, in use, no space for more snapshots;
  // Error(usage): no state of from_step, with the steps that there are.
  static std::unique_ptr<Store> open(const StoreOptions& options, const Layout& scratch);
  // Newest first; each generation once. Reads manifests and tables alone, takes no lock. Throws Error(storage) as open() does for folders of
  // several runs; none where there is no run.
  static std::vector<FoundCommit> commits_of(const StoreOptions& options);
  // The last commit for reading, also while another process trains the run: no lock is taken, nothing is written, and as long as this store
  // lives no other commit of that run takes its place (see exclude_readers()). What writes throws Error(usage). Throws as open() does.
  static std::unique_ptr<Store> open_reader(const StoreOptions& options);
  // The same of a run that several ranks keep in shares, by rank: the newest commit that all of them tell of. An object of the store is the ranks' parts of it
  // one after another, padding included; it has one slot, the committed one. manifest() and run_id() are rank 0's. Throws Error(storage), too, where there is no such
  // commit, or the shares don't belong together.
  static std::unique_ptr<Store> open_reader(const StoreOptions& options, std::span<const ShareFolders> shares);
  // Waits for what is in flight, removes scratch files, releases the locks. A store whose create()d run never wrote a manifest keeps its
  // state files and folders only if keep_files() was called.
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  [[nodiscard]] const Layout& layout() const noexcept;
  [[nodiscard]] const StoreReport& report() const noexcept;
  [[nodiscard]] io::IoEngine& engine() noexcept;
  [[nodiscard]] std::uint64_t stream_bytes() const noexcept;  // as StoreOptions
  void keep_files() noexcept;
  // What a caller adds to run_dir while it creates a run (makes the folder; names a file that it is about to make) goes with the state's files
  // if the run never commits.
  void add_folder(const std::string& path);
  void add_file(const std::string& path);
  [[nodiscard]] const std::string& run_id() const noexcept;
  [[nodiscard]] const std::vector<std::string>& ssd_paths() const noexcept;  // absolute, in the run's order
  // Of a request's file, for messages; a base's as well.
  [[nodiscard]] const std::string& path_of(int file) const;

  // Splits a transfer of `extent` in `slot` from/to `data` into requests, one per stripe piece (adjacent pieces in one file are merged); of a
  // base, which has no slots, it is one request. Returns how many; at most max_requests(extent.bytes). Never allocates. Throws std::logic_error
  // for a base's extent that is not in the base, or is to be written.
  std::size_t plan(io::Direction op, const Extent& extent, int slot, std::byte* data, io::Completion* completion,
                   std::span<io::Request> out) const;
  [[nodiscard]] std::size_t max_requests(std::uint64_t bytes) const noexcept;

  // Of an object in the base; 0 where there is none.
  [[nodiscard]] std::uint64_t base_bytes(std::uint32_t object) const noexcept;

  // Blocking, for set-up, generate, export, inspect. `data` is kExtentAlignment-aligned. Throws Error(storage).
  void read(const Extent& extent, int slot, std::byte* data);
  void write(const Extent& extent, int slot, const std::byte* data);

  // fdatasync of every state file (the paths at once), then in run_dir and every SSD path the table of checksums and the manifest: see
  // docs/storage.md. The writes that it covers have completed before the call. Throws Error(storage): the commit before still stands,
  // unless it was the last sync that failed; Error(usage) for checksums that do not tile the state.
  void commit(const Commit& commit);
  // The two halves of commit(), for ranks that shall all have done the first before any does the second. From prepare()'s return on, whatever
  // ends the process, open() finds the commit where it is asked for its generation, else the one before: so nothing may write to either slot
  // until publish() has returned. One sync of each folder more than commit() alone.
  [[nodiscard]] PreparedCommit prepare(const Commit& commit);
  void publish(const PreparedCommit& prepared);  // of the last prepare()
  // Before state of an earlier commit is overwritten, which happens once another commit stands: false while an open_reader() reads, here or
  // elsewhere. When true, readers wait until admit_readers(); what they find then may be the new commit only.
  [[nodiscard]] bool exclude_readers();
  void admit_readers() noexcept;
  // What is waited for in system calls, longest first: "fdatasync of /ssd/gsnake-weights.bin"; empty when nothing is. Thread-safe.
  [[nodiscard]] std::string activity() const;
  // Removes and syncs the manifests everywhere: what stands on SSD is about to be overwritten in place. Only of a run with one slot: with two,
  // nothing overwrites what is committed. Throws std::logic_error.
  void retract_manifest();
  // Of the run that open() found, or the last commit(); nullptr and none before. What is returned is valid until the next commit.
  [[nodiscard]] const Manifest* manifest() const noexcept;
  [[nodiscard]] const std::vector<Checksum>& checksums() const noexcept;
  [[nodiscard]] int committed_slot() const noexcept;  // 0 before

  // Reads all state of the committed slot and compares it with its checksums, in stream_bytes of memory. Throws Error(storage) that names kind,
  // object, files, offset, length and both checksums, or that the commit holds none. Not beside a commit().
  void verify(const ByteProgress& progress);
  // The same, unless open() had to do it or this has been called before.
  void ensure_verified(const ByteProgress& progress);
  // Gives `visit` the bytes of these pieces of the committed slot, in order, and then compares them with their checksums, as verify() does: what
  // was seen may be wrong until this returns. In stream_bytes of memory. What `visit` throws ends it.
  void read_committed(std::span<const Checksum> pieces, const BlockVisitor& visit);
  // The checksums of these pieces as they stand in `slot`, for a resume that cuts state into other pieces, in stream_bytes of memory.
  std::vector<std::uint64_t> hash(std::span<const Extent> extents, int slot, const ByteProgress& progress = {});

  // Copies the committed slot, checked against its checksums, into the slot of `place`, syncs it and gives it a manifest of its own. What
  // the place held before is gone from the start. Blocking, for a thread of its own: it leaves room in the engine and takes stream_bytes; commits
  // may go on, but the committed slot must not be overwritten before it returns. Throws Error(storage), Error(usage) for no such place; the
  // place is then empty.
  void snapshot(int place);
  [[nodiscard]] std::vector<Snapshot> snapshots() const;  // those that are whole, by place
  [[nodiscard]] int snapshot_places() const noexcept;

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  // Verifies what open() has chosen, where it must, and makes all copies agree on it.
  void settle(const Choice& choice, const std::vector<Copy>& copies, bool layout_changed);
  // Everything of a commit but what makes it count; from a failure on, nothing more is committed.
  enum class Staged : std::uint8_t { counts, waits };  // whether somebody may open what is staged, before it is published
  [[nodiscard]] std::shared_ptr<const Committed> stage(const Commit& commit, Staged staged);
  // Makes the state of `step` the last commit.
  void go_back(std::int64_t step);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gsnake::store
