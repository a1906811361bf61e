// What a store is made of: shared by the files that create, open and use one.
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "io/engine.h"
#include "io/file.h"
#include "store/activity.h"
#include "store/folder/footprint.h"
#include "store/folder/names.h"
#include "store/folder/pin.h"
#include "store/layout/layout.h"
#include "store/layout/shares.h"
#include "store/layout/volume.h"
#include "store/store.h"

namespace gsnake::store {

struct OpenFile {
  io::File file;
  Kind kind = Kind::weights;
  int id = -1;  // the engine's
};

// A commit, or a snapshot: what its manifest says and the table that goes with it.
struct Committed {
  Manifest manifest;
  int slot = 0;
  std::vector<Checksum> checksums;
  std::string table_name;        // empty: no checksums
  std::vector<std::byte> table;  // the file
};

// Ranks' stores that another one, which their files are known to the engine of, reads as one.
struct Joined {
  ShareMap map;
  std::vector<std::unique_ptr<Store>> shares;  // by rank; each reads its commit, and has no engine of its own
  std::vector<int> slots;                      // of those commits

  std::size_t plan(io::Direction op, const Extent& extent, std::byte* data, io::Completion* completion, std::span<io::Request> out) const;
  [[nodiscard]] std::size_t max_requests(std::uint64_t bytes) const noexcept;
};

using SnapshotMap = std::map<int, std::shared_ptr<const Committed>>;  // by place

// The order of the members matters: the engine goes first (it waits for what is in flight), then the files, then locks and rubbish.
struct StoreState {
  Footprint footprint;
  std::string run_dir;                 // absolute; spelled as the SSD path that it is, if it is one
  std::vector<std::string> ssd_paths;  // absolute, by the run's path index
  std::string run_id;
  FileNames names;
  Layout layout;
  std::optional<StripedVolume> volume;
  std::array<KindMap, kKindCount> maps;
  StoreReport report;
  io::SyncOps* sync = &io::kernel_sync();
  SetUpProgress progress;  // of open() and create()
  bool reads_only = false;  // of open_reader(): takes no folder's lock, writes nothing
  std::optional<Pin> pin;   // a reader's is shared while the store lives
  Activity activity;
  std::size_t stream_blocks = 2;  // StreamTarget
  std::mutex sync_mutex;                                // one sync of the state at a time: the kernel tells an error once only
  std::uint64_t generation = 0;                         // of the last commit
  std::shared_ptr<const Committed> prepared;            // by the last prepare(), if it was not published
  std::atomic<std::uint64_t> verified_generation{0};    // of the commit whose checksums were all compared; 0: none
  std::atomic<bool> poisoned{false};                    // nothing more is committed; never false again
  std::deque<OpenFile> files;                           // a deque: the engine borrows their addresses
  std::array<std::vector<int>, kKindCount> file_ids{};  // the engine's, by kind and path; -1 where the path holds none of the kind
  std::optional<BaseFile> base;
  int base_file = -1;  // the engine's
  std::optional<Joined> joined;
  std::unique_ptr<io::IoEngine> own_engine;
  io::IoEngine* engine = nullptr;  // own_engine, or that of the store which joins this one to others

  // run_dir, and the SSD paths that are other folders.
  [[nodiscard]] std::vector<std::string> directories() const;
  [[nodiscard]] std::uint64_t file_bytes(Kind kind, std::size_t path) const;
  [[nodiscard]] std::string file_path(Kind kind, std::size_t path) const;
  [[nodiscard]] std::string pin_path() const { return ssd_paths[0] + "/" + names.pin(); }

  // What open() found, or the last commit; nullptr before. Thread-safe; what is returned does not change.
  [[nodiscard]] std::shared_ptr<const Committed> last_commit() const;
  void set_last_commit(std::shared_ptr<const Committed> commit);
  [[nodiscard]] SnapshotMap snapshots() const;
  void set_snapshots(SnapshotMap snapshots);
  void set_snapshot(int place, const std::shared_ptr<const Committed>& snapshot);  // nullptr: there is none any more

  void take_options(const StoreOptions& options);  // those that have nothing to do with folders
  void resolve(const StoreOptions& options);  // them, and sets run_dir and ssd_paths; Error(usage) for a folder that is named twice
  void lock_directories();
  void set_layout(const Layout& new_layout, const std::vector<double>& stripe_weights);
  void start_engine(const StoreOptions& options);
  void create_files(Kind kind, io::DirectIo direct);
  void open_files(Kind kind, io::DirectIo direct);
  void open_base(const StoreOptions& options);  // if there is one
  // Throws std::logic_error for what is not in the base, or a write.
  [[nodiscard]] io::Request base_request(io::Direction op, const Extent& extent, std::byte* data, io::Completion* completion) const;
  // What Pin::exclude_readers() calls.
  [[nodiscard]] std::function<void()> waits_for_readers() const;
  // Throws Error(usage) for a store that open_reader() made.
  void require_writable(const char* operation) const;

 private:
  int adopt(io::File file, Kind kind);  // the engine's number

  mutable std::mutex committed_mutex_;
  std::shared_ptr<const Committed> committed_;
  SnapshotMap snapshots_;
};

struct Store::Impl : StoreState {
  // What is read are the shares, from now on: as one, in one slot.
  void join(std::vector<std::unique_ptr<Store>> shares);
  [[nodiscard]] const OpenFile* find_file(int id) const;  // a share's as well
  void transfer(const Store& store, io::Direction op, const Extent& extent, int slot, std::byte* data);
};

// "object 3 of weights, slot 1": what a piece is of, for messages.
[[nodiscard]] std::string describe(const Extent& extent, int slot);

// Throws Error(storage) for a piece of state that has another checksum than was committed, with what and where it is.
[[noreturn]] void throw_mismatch(const Store& store, const Checksum& expected, int slot, std::uint64_t found);

// Bytes that the files of `kinds` take up on `path` now.
std::uint64_t allocated_bytes(const StoreState& state, std::size_t path, std::span<const Kind> kinds);
// Removes the files of `kinds` on every path, which an earlier run of ours left, with a line in the log for each.
void remove_files(const StoreState& state, std::span<const Kind> kinds);
// Checks the space that `kinds` need, where their present files count as free.
void check_space_for(const StoreState& state, std::span<const Kind> kinds);

}  // namespace gsnake::store
