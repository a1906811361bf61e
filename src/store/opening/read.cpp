// A run's last commit for reading, while it may be trained; and several ranks' as one.
#include <chrono>
#include <thread>

#include "core/errors.h"
#include "core/log.h"
#include "store/opening/find.h"
#include "store/snapshot/snapshot.h"

namespace gsnake::store {
namespace {

// A drive that can't be written to can be read: io_uring and cuFile are probed with a file there.
void start_reading_engine(StoreState& state, StoreOptions options) {
  try {
    state.start_engine(options);
  } catch (const Error& error) {
    if (options.engine == io::EngineChoice::io_uring || error.kind() == ErrorKind::usage) throw;
    spdlog::debug("{}", error.what());
    options.engine = io::EngineChoice::threads;
    state.start_engine(options);
  }
}

void begin_reading(StoreState& state, const StoreOptions& options) {
  state.footprint.keep_state();
  state.reads_only = true;
  state.resolve(options);
  require_run_dir(state);
}

StoreOptions with_folders(const StoreOptions& options, const ShareFolders& folders) {
  StoreOptions own = options;
  own.run_dir = folders.run_dir;
  own.ssd_paths = folders.ssd_paths;
  own.base = {};
  return own;
}

// Of each rank, the newest commit that all tell of. What they tell is not changed meanwhile, as it is pinned.
std::vector<Found> find_common(std::span<StoreState* const> shares) {
  std::vector<std::vector<FoundCommit>> told;
  for (const StoreState* share : shares) told.push_back(commits_in(read_present_copies(*share)));
  const std::optional<CommonCommit> common = newest_common(told);
  if (!common) core::throw_storage("open the run in", shares.front()->run_dir, nothing_in_common(told), "restore the folders of the ranks that are behind");
  std::vector<Found> found;
  for (std::size_t rank = 0; rank < shares.size(); ++rank) found.push_back(find_commit(*shares[rank], {}, common->generations[rank]));
  return found;
}

// Waits for none while it holds another: each rank's trainer, which replaces its commit, waits for the others to replace theirs.
bool try_pin(std::span<StoreState* const> shares, const std::vector<std::string>& paths) {
  bool pinned = true;
  for (std::size_t rank = 0; rank < shares.size() && pinned; ++rank) pinned = paths[rank].empty() || Pin::try_share(paths[rank], shares[rank]->pin);
  if (pinned) return true;
  for (StoreState* share : shares) share->pin.reset();
  return false;
}

// As open_reader() of one run does with one.
std::vector<Found> pin_common(std::span<StoreState* const> shares, std::span<const StoreOptions> options) {
  constexpr std::chrono::milliseconds kPause{20};
  while (true) {
    std::vector<std::string> paths;
    for (StoreState* share : shares) paths.push_back(find_pinned_path(*share).empty() ? "" : share->pin_path());
    for (bool told = false; !try_pin(shares, paths); told = true) {
      if (!told) spdlog::info("a commit of the run in {} is being replaced; waiting until it stands at every rank", shares.front()->run_dir);
      std::this_thread::sleep_for(kPause);
    }
    for (std::size_t rank = 0; rank < shares.size(); ++rank) shares[rank]->resolve(options[rank]);
    std::vector<Found> found = find_common(shares);
    bool same = true;
    for (std::size_t rank = 0; rank < shares.size(); ++rank) same = same && paths[rank] == shares[rank]->pin_path();
    if (same) return found;
    for (std::size_t rank = 0; rank < shares.size(); ++rank) {
      shares[rank]->pin.reset();
      shares[rank]->resolve(options[rank]);
    }
  }
}

}  // namespace

std::unique_ptr<Store> Store::open_reader(const StoreOptions& options) {
  auto impl = std::make_unique<Impl>();
  begin_reading(*impl, options);
  Found found;
  // Until the run that was pinned is the one that is found: another may have taken its place in between.
  for (std::string pinned; pinned.empty() || pinned != impl->ssd_paths[0];) {
    pinned = find_pinned_path(*impl);
    impl->pin.reset();
    if (!pinned.empty()) impl->pin = Pin::share(impl->pin_path());
    impl->resolve(options);
    found = find_commit(*impl, {});
  }
  impl->set_snapshots(read_snapshots(*impl));
  start_reading_engine(*impl, options);
  impl->open_base(options);
  for (const Kind kind : kStateKinds) impl->open_files(kind, options.direct);
  auto store = std::unique_ptr<Store>(new Store(std::move(impl)));
  store->settle(found.choice, found.copies, false);
  return store;
}

std::unique_ptr<Store> Store::open_reader(const StoreOptions& options, std::span<const ShareFolders> shares) {
  std::vector<StoreOptions> own_options;
  std::vector<std::unique_ptr<Store>> stores;
  std::vector<StoreState*> states;
  for (const ShareFolders& folders : shares) {
    auto share = std::make_unique<Impl>();
    begin_reading(*share, own_options.emplace_back(with_folders(options, folders)));
    states.push_back(share.get());
    stores.push_back(std::unique_ptr<Store>(new Store(std::move(share))));
  }
  const std::vector<Found> found = pin_common(states, own_options);
  auto impl = std::make_unique<Impl>();
  impl->take_options(options);
  impl->reads_only = true;
  impl->ssd_paths = states.front()->ssd_paths;  // where engines are probed
  start_reading_engine(*impl, options);
  impl->open_base(options);
  for (std::size_t rank = 0; rank < stores.size(); ++rank) {
    states[rank]->engine = impl->engine;
    states[rank]->report.direct = true;
    for (const Kind kind : kStateKinds) states[rank]->open_files(kind, options.direct);
    stores[rank]->settle(found[rank].choice, found[rank].copies, false);
  }
  impl->join(std::move(stores));
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

}  // namespace gsnake::store
