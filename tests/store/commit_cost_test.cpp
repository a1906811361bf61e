// What a commit asks of its drives: neither more syncs nor more bytes than its protocol needs.
#include "store/counting_sync.h"
#include "store/manifest/checksum_table.h"
#include "store/store.h"
#include "store_test_support.h"

namespace gsnake::store {
namespace {

using namespace testing;

class CommitCost : public ::testing::Test {
 protected:
  static constexpr int kFolders = 3;
  static constexpr int kStateFiles = 6;  // of three kinds on two paths

  void SetUp() override {
    StoreOptions options = make_options(directory_ / "run", {directory_ / "a", directory_ / "b"}, {1.0, 0.5});
    options.engine = io::EngineChoice::threads;
    options.direct = io::DirectIo::off;
    options.sync = &sync_;
    store_ = Store::create(options, small_layout(2));
    // From the third on, both tables and the manifest of the commit before are there.
    for (std::uint64_t step = 1; step <= 3; ++step) commit_step(*store_, step);
  }

  // A step in the slot that is free; from here on, calls are counted.
  std::vector<Checksum> write_next() {
    const int slot = 1 - store_->committed_slot();
    write_step(*store_, slot, 4);
    std::vector<Checksum> checksums = checksums_of_slot(*store_, slot);
    sync_.take();
    return checksums;
  }

  // Sizes of the table and of the manifest of the last commit, over all folders.
  [[nodiscard]] std::uint64_t table_and_manifest_bytes() const {
    std::uint64_t sum = 0;
    for (const char* folder : {"run", "a", "b"}) {
      const std::string manifest = directory_ / (std::string(folder) + "/manifest.json");
      sum += std::filesystem::file_size(manifest);
      sum += std::filesystem::file_size(directory_ / (std::string(folder) + "/" + table_of(*read_manifest(directory_ / folder))->file));
    }
    return sum;
  }

  TemporaryDirectory directory_;
  CountingSync sync_;
  std::unique_ptr<Store> store_;
};

TEST_F(CommitCost, IsASyncOfEachFileAndFolder) {
  const std::vector<Checksum> checksums = write_next();
  store_->commit({1 - store_->committed_slot(), {{"step", 4}}, checksums});
  const CountingSync::Counts cost = sync_.take();
  EXPECT_EQ(cost.file_syncs, kStateFiles + 2 * kFolders) << "the state; in each folder the table and the manifest";
  EXPECT_EQ(cost.folder_syncs, kFolders);
  EXPECT_EQ(cost.creations, kFolders) << "the manifests; tables are overwritten in place";
  EXPECT_EQ(cost.names, 3 * kFolders) << "the manifest linked, the link renamed, the new manifest renamed";
  EXPECT_EQ(cost.bytes, table_and_manifest_bytes());
}

// Between the halves, the names of what was prepared must be on the drives too.
TEST_F(CommitCost, InTwoHalvesIsOneSyncMoreOfEachFolder) {
  const std::vector<Checksum> checksums = write_next();
  const PreparedCommit prepared = store_->prepare({1 - store_->committed_slot(), {{"step", 4}}, checksums});
  const CountingSync::Counts first = sync_.take();
  EXPECT_EQ(first.file_syncs, kStateFiles + 2 * kFolders);
  EXPECT_EQ(first.folder_syncs, kFolders);
  EXPECT_EQ(first.names, 0);
  store_->publish(prepared);
  const CountingSync::Counts second = sync_.take();
  EXPECT_EQ(second.file_syncs, 0);
  EXPECT_EQ(second.folder_syncs, kFolders);
  EXPECT_EQ(second.names, 3 * kFolders);
  EXPECT_EQ(second.bytes, 0U);
  EXPECT_EQ(first.bytes, table_and_manifest_bytes());
}

}  // namespace
}  // namespace gsnake::store
