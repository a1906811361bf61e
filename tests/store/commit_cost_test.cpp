// What a commit asks of its drives: neither more syncs nor more bytes than its protocol needs.
#include <sys/stat.h>

#include <map>
#include <mutex>

#include "store/manifest/checksum_table.h"
#include "store/store.h"
#include "store_test_support.h"

namespace gsnake::store {
namespace {

using namespace testing;

// The kernel's calls, counted by what they are made on.
class CountingSync final : public io::SyncOps {
 public:
  struct Counts {
    int file_syncs = 0;
    int folder_syncs = 0;
    int creations = 0;
    int names = 0;  // link, rename, unlink of what was there
    std::uint64_t bytes = 0;
  };
  int open(const char* path, int flags, mode_t mode) noexcept override {
    const bool existed = ::access(path, F_OK) == 0;
    const int fd = kernel_.open(path, flags, mode);
    count([&] { counts_.creations += fd >= 0 && !existed ? 1 : 0; });
    return fd;
  }
  ssize_t write(int fd, const void* data, std::size_t size) noexcept override {
    const ssize_t written = kernel_.write(fd, data, size);
    count([&] { counts_.bytes += static_cast<std::uint64_t>(std::max<ssize_t>(0, written)); });
    return written;
  }
  int ftruncate(int fd, off_t size) noexcept override { return kernel_.ftruncate(fd, size); }
  int fsync(int fd) noexcept override { return synced(fd), kernel_.fsync(fd); }
  int fdatasync(int fd) noexcept override { return synced(fd), kernel_.fdatasync(fd); }
  int allocate(int fd, off_t offset, off_t size) noexcept override { return kernel_.allocate(fd, offset, size); }
  int link(const char* from, const char* to) noexcept override { return named(kernel_.link(from, to)); }
  int rename(const char* from, const char* to) noexcept override { return named(kernel_.rename(from, to)); }
  int unlink(const char* path) noexcept override { return named(kernel_.unlink(path)); }

  // Since the last call.
  Counts take() {
    const std::lock_guard guard(mutex_);
    return std::exchange(counts_, {});
  }

 private:
  template <typename Change>
  void count(const Change& change) {
    const std::lock_guard guard(mutex_);
    change();
  }
  int named(int result) {
    count([&] { counts_.names += result == 0 ? 1 : 0; });
    return result;
  }
  void synced(int fd) {
    struct stat status {};
    const bool folder = ::fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
    count([&] { ++(folder ? counts_.folder_syncs : counts_.file_syncs); });
  }

  io::SyncOps& kernel_ = io::kernel_sync();
  std::mutex mutex_;
  Counts counts_;
};

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
