// A commit that is measured is one as the store makes them.
#include "measure/commit_time.h"

#include <gtest/gtest.h>

#include "store/counting_sync.h"
#include "store/store_test_support.h"
#include "temporary_folder.h"

namespace gsnake::measure {
namespace {

using store::testing::CountingSync;

// Of weights and two moments, on as many paths, once both tables of checksums and a manifest are there.
CountingSync::Counts commit_of_a_store(const std::string& folder, const std::vector<std::string>& paths) {
  CountingSync sync;
  store::StoreOptions options = store::testing::make_options(folder + "/run", paths, std::vector<double>(paths.size(), 1.0));
  options.engine = EngineChoice::threads;
  options.direct = io::DirectIo::off;
  options.sync = &sync;
  const std::unique_ptr<store::Store> store = store::Store::create(options, store::testing::small_layout(2));
  for (std::uint64_t step = 1; step <= 4; ++step) {
    sync.take();
    store::testing::commit_step(*store, step);
  }
  return sync.take();
}

TEST(CommitSeconds, AreOfAsManySyncsAsACommitOfAStore) {
  constexpr int kCommits = 10;  // the first, whose tables are new, and nine that are measured
  for (const int drives : {1, 2}) {
    SCOPED_TRACE(drives);
    const test::TemporaryFolder folder;
    std::vector<std::string> paths;
    for (int i = 0; i < drives; ++i) paths.push_back(folder / ("drive" + std::to_string(i)));
    const CountingSync::Counts commit = commit_of_a_store(folder / "store", paths);
    CountingSync sync;
    EXPECT_GT(commit_seconds(paths, sync), 0.0);
    const CountingSync::Counts measured = sync.take();
    EXPECT_EQ(measured.file_syncs, kCommits * commit.file_syncs);
    EXPECT_EQ(measured.folder_syncs, kCommits * commit.folder_syncs + drives + 1);
  }
}

}  // namespace
}  // namespace gsnake::measure
