// A store from end to end, on every engine, with one path and with three of unequal weights.
#include "store/store.h"

#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <random>
#include <thread>

#include "store/layout/layout.h"
#include "store_test_support.h"

namespace gsnake::store {
namespace {

using namespace testing;

struct Setting {
  const char* name;
  io::EngineChoice engine;
  std::vector<double> weights;
};

class StoreTest : public ::testing::TestWithParam<Setting> {
 protected:
  StoreTest() { ::setenv("GSNAKE_CUFILE", FAKE_CUFILE, 1); }
  ~StoreTest() override { ::unsetenv("GSNAKE_CUFILE"); }
  StoreOptions options() const {
    StoreOptions options;
    options.run_dir = directory_ / "run";
    for (std::size_t i = 0; i < GetParam().weights.size(); ++i) options.ssd_paths.push_back(directory_ / ("ssd" + std::to_string(i)));
    options.stripe_weights = GetParam().weights;
    options.engine = GetParam().engine;
    return options;
  }

  TemporaryDirectory directory_;
};

class CountingCompletion final : public io::Completion {
 public:
  void on_complete(std::error_code error) noexcept override {
    const std::lock_guard guard(mutex_);
    ++completed_;
    if (error) error_ = error;
    changed_.notify_all();
  }
  void wait(std::size_t count) {
    std::unique_lock guard(mutex_);
    changed_.wait(guard, [&] { return completed_ == count; });
    EXPECT_FALSE(error_) << error_.message();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t completed_ = 0;
  std::error_code error_;
};

void run_planned(Store& store, io::Direction op, const Extent& extent, int slot, std::byte* data) {
  CountingCompletion completion;
  std::vector<io::Request> requests(store.max_requests(extent.bytes));
  requests.resize(store.plan(op, extent, slot, data, &completion, requests));
  for (const io::Request& request : requests) {
    while (!store.engine().try_submit({&request, 1})) std::this_thread::yield();
  }
  completion.wait(requests.size());
}

TEST_P(StoreTest, ReadsBackWhatWasWrittenToEveryObjectAndSlot) {
  const auto store = Store::create(options(), sample_layout());
  write_everything(*store);
  expect_state(*store);
  EXPECT_EQ(store->report().engine.name, word_of(GetParam().engine));
}

TEST_P(StoreTest, RandomExtentsThroughPlanAgreeWithAnImageInMemory) {
  const auto store = Store::create(options(), sample_layout());
  const std::uint64_t object_bytes = sample_layout().kinds[0].padded_bytes[1];
  const std::uint64_t pages = object_bytes / kExtentAlignment;
  write_everything(*store);
  std::array<memory::AnonymousMemory, 2> images{memory::AnonymousMemory(object_bytes), memory::AnonymousMemory(object_bytes)};
  for (int slot = 0; slot < 2; ++slot)
    store->read({Kind::weights, 1, 0, object_bytes}, slot, images[static_cast<std::size_t>(slot)].data());
  const memory::AnonymousMemory buffer(object_bytes);
  std::mt19937_64 random(3);
  for (int trial = 0; trial < 60; ++trial) {
    const int slot = static_cast<int>(random() % 2);
    const std::uint64_t first = random() % pages;
    const Extent extent{Kind::weights, 1, first * kExtentAlignment, (1 + random() % (pages - first)) * kExtentAlignment};
    std::byte* image = images[static_cast<std::size_t>(slot)].data() + extent.offset;
    if (trial % 2 == 0) {
      fill(buffer.data(), extent.bytes, random());
      std::memcpy(image, buffer.data(), extent.bytes);
      run_planned(*store, io::Direction::write, extent, slot, buffer.data());
    } else {
      run_planned(*store, io::Direction::read, extent, slot, buffer.data());
      ASSERT_EQ(std::memcmp(image, buffer.data(), extent.bytes), 0) << "trial " << trial;
    }
  }
  // Neighbours in the volume are as they were.
  for (const std::uint32_t object : {0U, 3U}) {
    const Extent extent = whole_object(sample_layout(), 0, object);
    for (int slot = 0; slot < 2; ++slot) {
      const memory::AnonymousMemory expected(extent.bytes);
      fill(expected.data(), extent.bytes, seed_of(extent, slot));
      store->read(extent, slot, buffer.data());
      EXPECT_EQ(std::memcmp(expected.data(), buffer.data(), extent.bytes), 0) << "object " << object << " slot " << slot;
    }
  }
}

TEST_P(StoreTest, PreallocatesExactlyTheBytesOfTheLayoutOnAllPathsTogether) {
  const auto store = Store::create(options(), sample_layout());
  std::uint64_t need = 0;
  for_each_object(sample_layout(), [&](const Extent& extent, int) { need += extent.bytes; });
  std::uint64_t found = 0;
  std::uint64_t reported = 0;
  for (const std::string& path : options().ssd_paths) {
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      if (entry.path().extension() == ".bin") found += entry.file_size();
    }
  }
  for (const std::uint64_t bytes : store->report().bytes_per_path) reported += bytes;
  EXPECT_EQ(found, need);
  EXPECT_EQ(reported, need);
  EXPECT_FALSE(std::filesystem::exists(options().ssd_paths[0] + "/gsnake-activations.bin"));
}

TEST_P(StoreTest, CommittedStateOutlivesTheStoreAndScratchDoesNot) {
  {
    const auto store = Store::create(options(), sample_layout());
    write_everything(*store, 5);
    store->commit({0, {{"step", 17}}, {}});
  }
  for (const std::string& path : options().ssd_paths) {
    EXPECT_FALSE(std::filesystem::exists(path + "/gsnake-gradients.bin"));
    EXPECT_FALSE(std::filesystem::exists(path + "/gsnake-lock"));
  }
  const auto store = Store::open(options(), no_scratch());
  ASSERT_NE(store->manifest(), nullptr);
  EXPECT_EQ(store->manifest()->training.at("step"), 17);
  EXPECT_EQ(store->manifest()->generation, 1U);
  expect_state(*store, 5);
}

TEST_P(StoreTest, GenerationsGrowAcrossReopening) {
  { Store::create(options(), sample_layout())->commit(Commit{}); }
  std::string run_id;
  {
    const auto store = Store::open(options(), no_scratch());
    store->commit(Commit{});
    store->commit(Commit{});
    run_id = store->manifest()->run_id;
  }
  const auto store = Store::open(options(), no_scratch());
  EXPECT_EQ(store->manifest()->generation, 3U);
  EXPECT_EQ(store->manifest()->run_id, run_id);
}

TEST_P(StoreTest, ScratchIsLaidOutAnewWhenOpened) {
  { Store::create(options(), sample_layout())->commit(Commit{}); }
  Layout scratch;
  scratch.kinds[4] = kind_of(1, {9 * kExtentAlignment, 200 * kExtentAlignment});
  const auto store = Store::open(options(), scratch);
  const Extent extent = whole_object(scratch, 4, 1);
  const memory::AnonymousMemory data(extent.bytes);
  const memory::AnonymousMemory got(extent.bytes);
  fill(data.data(), extent.bytes, 1);
  store->write(extent, 0, data.data());
  store->read(extent, 0, got.data());
  EXPECT_EQ(std::memcmp(data.data(), got.data(), extent.bytes), 0);
  EXPECT_TRUE(store->layout().kinds[3].padded_bytes.empty());
  EXPECT_EQ(store->layout().kinds[0].logical_bytes, sample_layout().kinds[0].logical_bytes);
}

TEST_P(StoreTest, WithoutACommitNothingIsLeftUnlessKept) {
  { Store::create(options(), sample_layout()); }
  EXPECT_TRUE(tree(directory_.path()).empty());
  { Store::create(options(), sample_layout())->keep_files(); }
  EXPECT_TRUE(std::filesystem::exists(options().ssd_paths[0] + "/gsnake-weights.bin"));
}

TEST_P(StoreTest, ARetractedManifestIsGoneFromEveryFolder) {
  const auto store = Store::create(options(), small_layout(1));
  store->commit(Commit{});
  store->retract_manifest();
  for (const std::string& name : tree(directory_.path())) EXPECT_EQ(name.find("manifest"), std::string::npos) << name;
  store->commit(Commit{});
  EXPECT_EQ(store->manifest()->generation, 2U);
}

TEST_P(StoreTest, AFailedReadNamesFileObjectAndSlot) {
  const auto store = Store::create(options(), sample_layout());
  const std::string file = options().ssd_paths.back() + "/gsnake-weights.bin";
  std::filesystem::resize_file(file, 0);
  const Extent extent = whole_object(sample_layout(), 0, 1);
  const memory::AnonymousMemory data(extent.bytes);
  const std::string message = message_of(ErrorKind::storage, [&] { store->read(extent, 1, data.data()); });
  EXPECT_NE(message.find("cannot read "), std::string::npos) << message;
  EXPECT_NE(message.find(file + " (object 1 of weights, slot 1)"), std::string::npos) << message;
}

const Setting kSettings[] = {{"UringOnePath", io::EngineChoice::io_uring, {1.0}},
                             {"UringThreePaths", io::EngineChoice::io_uring, {1.0, 0.25, 0.6}},
                             {"ThreadsOnePath", io::EngineChoice::threads, {1.0}},
                             {"ThreadsThreePaths", io::EngineChoice::threads, {1.0, 0.25, 0.6}},
                             {"CuFileThreePaths", io::EngineChoice::cufile, {1.0, 0.25, 0.6}}};
INSTANTIATE_TEST_SUITE_P(Engines, StoreTest, ::testing::ValuesIn(kSettings),
                         [](const auto& setting) { return std::string(setting.param.name); });

TEST(Store, MeasuresStripeWeightsOfSeveralPathsAndKeepsThem) {
  const TemporaryDirectory directory;
  const StoreOptions options = make_options(directory / "run", {directory / "a", directory / "b"});
  std::vector<double> measured;
  {
    const auto store = Store::create(options, sample_layout());
    measured = store->report().stripe_weights;
    store->commit(Commit{});
  }
  ASSERT_EQ(measured.size(), 2U);
  EXPECT_EQ(*std::max_element(measured.begin(), measured.end()), 1.0);
  for (const double weight : measured) {
    EXPECT_EQ(weight * 16.0, std::floor(weight * 16.0));
    EXPECT_GE(weight, 1.0 / 16.0);
  }
  EXPECT_EQ(tree(directory / "a").count("gsnake-weights.bin"), 1U);
  std::set<std::string> first = tree(directory / "a");
  EXPECT_EQ(first.erase("gsnake-pin"), 1U);
  EXPECT_EQ(first, tree(directory / "b"));
  EXPECT_EQ(Store::open(options, no_scratch())->report().stripe_weights, measured);
}

TEST(Store, RunFolderMayBeAnSsdPath) {
  const TemporaryDirectory directory;
  const StoreOptions options = make_options(directory / "both/.", {directory / "other", directory / "both"}, {1.0, 0.5});
  {
    const auto store = Store::create(options, sample_layout());
    write_everything(*store);
    store->commit(Commit{});
  }
  expect_state(*Store::open(options, no_scratch()));
}

TEST(Store, BufferedFilesSayWhy) {
  const TemporaryDirectory directory;
  StoreOptions options = make_options(directory / "run", {directory / "ssd"});
  options.direct = io::DirectIo::off;
  const auto store = Store::create(options, sample_layout());
  EXPECT_FALSE(store->report().direct);
  EXPECT_NE(store->report().buffered_reason.find(directory / "ssd"), std::string::npos) << store->report().buffered_reason;
  write_everything(*store);
  expect_state(*store);
}

// On the map alone: the child of a death test that had made a store would leave its folders behind.
TEST(KindMapDeathTest, AnExtentOutsideItsObjectAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const KindMap map(sample_layout().kinds[0]);
  EXPECT_DEATH(static_cast<void>(map.offset_of({Kind::weights, 0, kExtentAlignment, 3 * kExtentAlignment}, 0)), "is not in the layout");
  EXPECT_DEATH(static_cast<void>(map.offset_of({Kind::weights, 1, 0, kExtentAlignment}, 2)), "of weights object 1 slot 2");
  EXPECT_DEATH(static_cast<void>(map.offset_of({Kind::weights, 1, 512, kExtentAlignment}, 0)), "is not in the layout");
  EXPECT_DEATH(static_cast<void>(map.offset_of({Kind::weights, 4, 0, 0}, 0)), "object 4");
}

}  // namespace
}  // namespace gsnake::store
