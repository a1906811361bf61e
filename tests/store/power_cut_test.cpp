// What a power cut leaves of a run's creation, replacement and growth; and that the model of the drive finds a sync that is left out.
#include <functional>
#include <random>

#include "power_cut_disk.h"
#include "store/manifest/checksum_table.h"
#include "store/store.h"
#include "store_test_support.h"

namespace gsnake::store {
namespace {

using namespace testing;
namespace fs = std::filesystem;

// What stands after a power cut.
struct Remains {
  std::int64_t step = -1;  // -1: no commit
  std::string fault;       // why it can't be used, though a manifest says so
};

// Opens the run and compares every byte with its step's.
Remains remains_of(const StoreOptions& where) {
  bool any = false;
  for (const std::string& folder : where.ssd_paths) any = any || holds_manifest(folder);
  if (!any && !holds_manifest(where.run_dir)) return {};
  try {
    const auto store = Store::open(where, no_scratch());
    store->verify({});
    const std::uint64_t step = committed_step(*store);
    const memory::AnonymousMemory got(64 * kExtentAlignment);
    std::string fault;
    for_each_object(store->layout(), [&](const Extent& extent, int slot) {
      if (slot != store->committed_slot() || !is_state_kind(extent.kind)) return;
      const memory::AnonymousMemory expected(extent.bytes);
      fill(expected.data(), extent.bytes, seed_of(extent, 0) + 10000 * step);
      store->read(extent, slot, got.data());
      if (std::memcmp(expected.data(), got.data(), extent.bytes) != 0) fault = "the bytes are another step's";
    });
    return {static_cast<std::int64_t>(step), fault};
  } catch (const Error& error) {
    return {-1, error.what()};
  }
}

class PowerCutTest : public ::testing::Test {
 protected:
  // A run in two SSD paths and a folder of its own, or all in one folder.
  StoreOptions options(const std::string& name, bool one_folder = false) const {
    const std::string base = directory_ / name;
    StoreOptions where = one_folder ? make_options(base, {base}) : make_options(base + "/run", {base + "/a", base + "/b"}, {1.0, 0.5});
    where.engine = io::EngineChoice::threads;
    where.engine_options.threads = 1;
    where.direct = io::DirectIo::off;
    return where;
  }

  static std::set<std::string> folders_of(const StoreOptions& where) {
    std::set<std::string> folders(where.ssd_paths.begin(), where.ssd_paths.end());
    folders.insert(where.run_dir);
    return folders;
  }

  // `work`, ended before each of its calls in turn, and then the power is cut; `after` sees what is left. `prepare` makes the folders anew.
  using Work = std::function<void(const StoreOptions& where)>;
  using After = std::function<void(const Remains& remains, bool done)>;
  void before_every_call(StoreOptions where, const Work& prepare, const Work& work, const After& after) {
    std::mt19937_64 random(11);
    bool done = false;
    for (std::size_t calls = 0; !done && !HasFatalFailure(); calls += call_stride()) {
      for (int trial = 0; trial < trials(6) && !HasFatalFailure(); ++trial) {
        SCOPED_TRACE("ended before call " + std::to_string(calls) + ", trial " + std::to_string(trial));
        for (const std::string& folder : folders_of(where)) {
          fs::remove_all(folder);
          fs::create_directories(folder);
        }
        where.sync = nullptr;
        prepare(where);
        PowerCutDisk disk;
        for (const std::string& folder : folders_of(where)) disk.add_directory(folder);
        where.sync = &disk;
        disk.die_at(calls);
        done = true;
        try {
          work(where);
        } catch (const Error& error) {
          // The end of a process looks like an error of the drive; anything else is a fault of this test.
          ASSERT_NE(std::string(error.what()).find("Input/output error"), std::string::npos) << error.what();
          done = false;
        }
        disk.cut_power(random);
        disk.die_at(PowerCutDisk::kNever);
        after(remains_of(where), done);
        calls_ = calls;
      }
    }
  }

  TemporaryDirectory directory_{in_memory()};
  std::size_t calls_ = 0;  // of the whole work
};

TEST_F(PowerCutTest, OfACreationAndItsFirstCommitLeavesNoCommitOrThatOne) {
  for (const bool one_folder : {true, false}) {
    const auto create = [](const StoreOptions& where) { commit_step(*Store::create(where, small_layout(2)), 1); };
    before_every_call(
        options("made", one_folder), [](const StoreOptions&) {}, create,
        [](const Remains& remains, bool done) {
          ASSERT_EQ(remains.fault, "");
          ASSERT_TRUE(remains.step == 1 || (!done && remains.step == -1)) << remains.step;
        });
    EXPECT_GT(calls_, one_folder ? 15U : 30U);
  }
}

TEST_F(PowerCutTest, OfAReplacementLeavesTheOldRunOrNoneOrTheNewOne) {
  for (const bool one_folder : {true, false}) {
    const auto old_run = [](const StoreOptions& where) {
      const auto store = Store::create(where, small_layout(2));
      for (std::uint64_t step = 7; step <= 8; ++step) commit_step(*store, step);
    };
    const auto replace = [](StoreOptions where) {
      where.overwrite = true;
      commit_step(*Store::create(where, small_layout(2)), 1);
    };
    std::set<std::int64_t> seen;
    before_every_call(options("replaced", one_folder), old_run, replace, [&](const Remains& remains, bool done) {
      ASSERT_EQ(remains.fault, "");
      // Of the old run's last two commits, the names may go in any order: the one before is still whole.
      ASSERT_TRUE(remains.step == 1 || (!done && (remains.step == 8 || remains.step == 7 || remains.step == -1))) << remains.step;
      seen.insert(remains.step);
    });
    EXPECT_THAT(seen, ::testing::IsSupersetOf({-1, 1, 8}));
  }
}

TEST_F(PowerCutTest, OfAGrowthLeavesTheCommitWhole) {
  // Two pages a slot: the second path gets its first bytes with the fourth slot.
  Layout tiny;
  tiny.kinds[0] = kind_of(2, {20 * kExtentAlignment});
  tiny.kinds[1] = kind_of(2, {20 * kExtentAlignment});
  for (const Layout& layout : {small_layout(2), tiny}) {
    const auto make = [&](const StoreOptions& where) { commit_step(*Store::create(where, layout), 1); };
    const auto grow = [](StoreOptions where) {
      where.snapshot_places = 6;
      Store::open(where, no_scratch());
    };
    before_every_call(options("grown"), make, grow, [](const Remains& remains, bool) {
      ASSERT_EQ(remains.fault, "");
      ASSERT_EQ(remains.step, 1);
    });
    EXPECT_GT(calls_, 20U);
  }
}

// Mutations: a run of steps on a drive that is told of fewer syncs than it should be.
struct Dropped {
  const char* name;
  std::function<bool(const std::string& path)> sync;  // which are left out
  bool one_slot = false;
};

bool ends_with(const std::string& path, const std::string& end) {
  return path.size() >= end.size() && path.compare(path.size() - end.size(), end.size(), end) == 0;
}

class DroppedSync : public PowerCutTest, public ::testing::WithParamInterface<Dropped> {
 protected:
  // Three steps and a power cut; whether what is left breaks a promise.
  bool breaks(StoreOptions where, const Dropped* dropped, std::mt19937_64& random) {
    const bool one_slot = GetParam().one_slot;
    for (const std::string& folder : folders_of(where)) {
      fs::remove_all(folder);
      fs::create_directories(folder);
    }
    where.sync = nullptr;
    { commit_step(*Store::create(where, small_layout(one_slot ? 1 : 2)), 1); }
    PowerCutDisk disk;
    for (const std::string& folder : folders_of(where)) disk.add_directory(folder);
    if (dropped != nullptr) disk.leave_out(dropped->sync);
    where.sync = &disk;
    {
      const auto store = Store::open(where, no_scratch());
      if (one_slot) {
        store->retract_manifest();
        write_step(*store, 0, 2);
      } else {
        commit_step(*store, 2);
        commit_step(*store, 3);
      }
    }
    disk.cut_power(random);
    const Remains remains = remains_of(where);
    return !remains.fault.empty() || remains.step != (one_slot ? -1 : 3);
  }
};

TEST_P(DroppedSync, IsFoundByTheModelAndNothingIsWithoutIt) {
  std::mt19937_64 random(5);
  const StoreOptions where = options("dropped", true);
  for (int trial = 0; trial < trials(30); ++trial) ASSERT_FALSE(breaks(where, nullptr, random)) << "with every sync, trial " << trial;
  int trial = 0;
  while (trial < 300 && !breaks(where, &GetParam(), random)) ++trial;
  EXPECT_LT(trial, 300) << "a drive that was not told of these syncs lost nothing in 300 power cuts";
}

const Dropped kDropped[] = {
    {"StateFiles", [](const std::string& path) { return ends_with(path, "gsnake-weights.bin") || ends_with(path, "gsnake-moment1.bin"); }},
    {"Table", [](const std::string& path) { return path.find("checksums-") != std::string::npos; }},
    {"Manifest", [](const std::string& path) { return ends_with(path, "manifest.json.tmp"); }},
    {"Folder", [](const std::string& path) { return path.find('.', path.rfind('/')) == std::string::npos; }},
    {"FolderOfARetraction", [](const std::string& path) { return path.find('.', path.rfind('/')) == std::string::npos; }, true},
};
INSTANTIATE_TEST_SUITE_P(Each, DroppedSync, ::testing::ValuesIn(kDropped), [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace gsnake::store
