// Objects that are written once: one place for every slot, part of each commit, never copied.
#include <fstream>

#include "store/layout/layout.h"
#include "store/store.h"
#include "store_test_support.h"

namespace gsnake::store {
namespace {

using namespace testing;
namespace fs = std::filesystem;

constexpr std::uint64_t kPage = kExtentAlignment;
constexpr std::uint64_t kFrozenSeed = 77;

// Weights 0 and 2 are trained, 1 and 3 frozen; the moments are of what is trained.
Layout layout_of(int slots) {
  Layout layout;
  layout.kinds[0] = kind_of(slots, {3 * kPage, 40 * kPage, 70 * kPage, kPage});
  layout.kinds[0].frozen = {1, 3};
  layout.kinds[1] = kind_of(slots, {3 * kPage, 0, 70 * kPage, 0});
  return layout;
}

constexpr std::uint64_t kTrainedPages = 2 * 73;
constexpr std::uint64_t kFrozenPages = 41;

// Counts the bytes that are written.
class CountingEngine final : public io::IoEngine {
 public:
  CountingEngine(std::unique_ptr<io::IoEngine> engine, std::atomic<std::uint64_t>& written) : engine_(std::move(engine)), written_(written) {}
  int add_file(const io::File& file) override { return engine_->add_file(file); }
  io::RegistrationReport register_buffer(std::span<std::byte> memory) override { return engine_->register_buffer(memory); }
  void withdraw_buffer(std::span<std::byte> memory) override { engine_->withdraw_buffer(memory); }
  [[nodiscard]] io::RegistrationReport registration() const override { return engine_->registration(); }
  [[nodiscard]] bool try_submit(std::span<const io::Request> requests) override {
    const bool taken = engine_->try_submit(requests);
    for (const io::Request& request : requests) written_ += taken && request.op == io::Direction::write ? request.size : 0;
    return taken;
  }
  [[nodiscard]] std::size_t in_flight() const noexcept override { return engine_->in_flight(); }
  [[nodiscard]] std::size_t capacity() const noexcept override { return engine_->capacity(); }
  [[nodiscard]] const std::string& name() const noexcept override { return engine_->name(); }

 private:
  std::unique_ptr<io::IoEngine> engine_;
  std::atomic<std::uint64_t>& written_;
};

class FrozenTest : public ::testing::Test {
 protected:
  StoreOptions options() {
    StoreOptions options = make_options(directory_ / "run", {directory_ / "a", directory_ / "b"}, {1.0, 0.5});
    options.engine = io::EngineChoice::threads;
    options.wrap_engine = [this](std::unique_ptr<io::IoEngine> engine) -> std::unique_ptr<io::IoEngine> {
      return std::make_unique<CountingEngine>(std::move(engine), written_);
    };
    return options;
  }

  // All state, or what is trained.
  static void for_state(const Layout& layout, bool frozen, const std::function<void(const Extent&)>& visit) {
    for_each_object(layout, [&](const Extent& extent, int slot) {
      if (slot == 0 && layout.kinds[core::index_of(extent.kind)].is_frozen(extent.object) == frozen) visit(extent);
    });
  }

  static std::uint64_t seed_at(const Extent& extent, std::uint64_t step) { return seed_of(extent, 0) + 10000 * step; }

  static void write_one(Store& store, const Extent& extent, int slot, std::uint64_t seed) {
    const memory::AnonymousMemory data(extent.bytes);
    fill(data.data(), extent.bytes, seed);
    store.write(extent, slot, data.data());
  }

  static void expect_one(Store& store, const Extent& extent, int slot, std::uint64_t seed) {
    const memory::AnonymousMemory expected(extent.bytes);
    const memory::AnonymousMemory got(extent.bytes);
    fill(expected.data(), extent.bytes, seed);
    store.read(extent, slot, got.data());
    EXPECT_EQ(std::memcmp(expected.data(), got.data(), extent.bytes), 0)
        << name_of(extent.kind) << " object " << extent.object << " slot " << slot;
  }

  std::unique_ptr<Store> create(int slots) {
    auto store = Store::create(options(), layout_of(slots));
    for_state(store->layout(), true, [&](const Extent& extent) { write_one(*store, extent, 0, seed_at(extent, kFrozenSeed)); });
    return store;
  }

  static void commit_step(Store& store, std::uint64_t step) {
    const int slot = store.manifest() == nullptr ? 0 : 1 - store.committed_slot();
    for_state(store.layout(), false, [&](const Extent& extent) { write_one(store, extent, slot, seed_at(extent, step)); });
    store.commit({slot, {{"step", step}}, checksums_of_slot(store, slot)});
  }

  static void expect_step(Store& store, int slot, std::uint64_t step) {
    for_state(store.layout(), false, [&](const Extent& extent) { expect_one(store, extent, slot, seed_at(extent, step)); });
    for_state(store.layout(), true, [&](const Extent& extent) { expect_one(store, extent, slot, seed_at(extent, kFrozenSeed)); });
  }

  TemporaryDirectory directory_;
  std::atomic<std::uint64_t> written_{0};
};

TEST_F(FrozenTest, ObjectsTakeOnePlaceHoweverManySlotsTheOthersHave) {
  for (int slots : {1, 2, 5}) {
    std::uint64_t pages = 0;
    for (const KindLayout& kind : layout_of(slots).kinds) pages += KindMap(kind).volume_bytes() / kPage;
    EXPECT_EQ(pages, kFrozenPages + static_cast<std::uint64_t>(slots) * kTrainedPages);
  }
  const KindMap map(layout_of(3).kinds[0]);
  for (std::uint32_t frozen : {1U, 3U}) {
    for (int slot : {1, 2}) EXPECT_EQ(map.offset_of({Kind::weights, frozen, 0, kPage}, slot), map.offset_of({Kind::weights, frozen, 0, kPage}, 0));
  }
  EXPECT_EQ(map.offset_of({Kind::weights, 2, 0, kPage}, 1), (114 + 3) * kPage);
  EXPECT_EQ(map.offset_of({Kind::weights, 0, 0, kPage}, 2), (114 + 73) * kPage);
}

TEST_F(FrozenTest, StateOfEverySlotHoldsThemAndCommitsVerifyThem) {
  const auto store = create(2);
  for (std::uint64_t step = 1; step <= 4; ++step) {
    commit_step(*store, step);
    expect_step(*store, store->committed_slot(), step);
    if (step > 1) expect_step(*store, 1 - store->committed_slot(), step - 1);
    store->verify({});
  }
}

TEST_F(FrozenTest, ADamagedOneIsFoundByTheLastCommitAndTheOneBefore) {
  {
    const auto store = create(2);
    commit_step(*store, 1);
    commit_step(*store, 2);
  }
  // The first frozen object begins behind 3 pages, in the first stripe of the first path.
  std::fstream file(directory_ / "a/gsnake-weights.bin", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(3 * kPage + 5));
  file.put('x');
  file.close();
  const auto store = Store::open(options(), no_scratch());
  EXPECT_NE(message_of(ErrorKind::storage, [&] { store->verify({}); }).find("weights object 1"), std::string::npos);
}

TEST_F(FrozenTest, TheManifestSaysWhichTheyAreAndNothingWhereThereAreNone) {
  {
    const auto store = create(2);
    commit_step(*store, 1);
  }
  const auto store = Store::open(options(), no_scratch());
  EXPECT_EQ(store->layout().kinds[0].frozen, (std::vector<std::uint32_t>{1, 3}));
  EXPECT_EQ(store->manifest()->storage.at("kinds").at("weights").at("frozen"), (std::vector<int>{1, 3}));
  EXPECT_FALSE(store->manifest()->storage.at("kinds").at("moment1").contains("frozen"));
}

TEST_F(FrozenTest, SnapshotsCopyWhatIsTrainedAlone) {
  const auto store = create(3);
  commit_step(*store, 1);
  written_ = 0;
  store->snapshot(0);
  EXPECT_EQ(written_, kTrainedPages * kPage);
  commit_step(*store, 2);
  commit_step(*store, 3);
  expect_step(*store, 2, 1);
}

TEST_F(FrozenTest, GoingBackToASnapshotLeavesThemInPlace) {
  {
    const auto store = create(3);
    commit_step(*store, 1);
    store->snapshot(0);
    commit_step(*store, 2);
  }
  StoreOptions back = options();
  back.from_step = 1;
  written_ = 0;
  const auto store = Store::open(back, no_scratch());
  EXPECT_EQ(written_, kTrainedPages * kPage);
  EXPECT_EQ(committed_step(*store), 1U);
  expect_step(*store, store->committed_slot(), 1);
  store->verify({});
}

TEST_F(FrozenTest, ASnapshotOfACommitWithoutChecksumsHasTheirs) {
  const auto store = create(3);
  for_state(store->layout(), false, [&](const Extent& extent) { write_one(*store, extent, 0, seed_at(extent, 1)); });
  store->commit({0, {{"step", 1}}, {}});
  store->snapshot(0);
  store->commit({1, {{"step", 2}}, {}});
  expect_step(*store, 2, 1);
}

TEST_F(FrozenTest, MorePlacesForSnapshotsAreForWhatIsTrained) {
  {
    const auto store = create(2);
    commit_step(*store, 1);
  }
  const auto bytes = [&] { return fs::file_size(directory_ / "a/gsnake-weights.bin") + fs::file_size(directory_ / "b/gsnake-weights.bin"); };
  const std::uint64_t before = bytes();
  StoreOptions more = options();
  more.snapshot_places = 2;
  const auto store = Store::open(more, no_scratch());
  EXPECT_EQ(bytes(), before + 2 * 73 * kPage);
  expect_step(*store, store->committed_slot(), 1);
}

TEST(FrozenObjects, ThatAreNotObjectsOfStateInOrderAreRefused) {
  for (const std::vector<std::uint32_t>& frozen : {std::vector<std::uint32_t>{4}, {1, 1}, {3, 1}}) {
    Layout layout = layout_of(2);
    layout.kinds[0].frozen = frozen;
    EXPECT_NE(message_of(ErrorKind::usage, [&] { validate(layout); }).find("frozen"), std::string::npos);
  }
  Layout scratch = layout_of(2);
  scratch.kinds[core::index_of(Kind::gradients)] = kind_of(1, {kPage});
  scratch.kinds[core::index_of(Kind::gradients)].frozen = {0};
  EXPECT_NE(message_of(ErrorKind::usage, [&] { validate(scratch); }).find("frozen"), std::string::npos);
}

}  // namespace
}  // namespace gsnake::store
