// A store beside a base: a file that it reads and that is not its own.
#include <sys/stat.h>

#include <fstream>

#include "store/layout/layout.h"
#include "store/store.h"
#include "store_test_support.h"

namespace gsnake::store {
namespace {

using namespace testing;
namespace fs = std::filesystem;

constexpr std::uint64_t kPage = kExtentAlignment;

class BaseFileTest : public ::testing::Test {
 protected:
  BaseFileTest() {
    const memory::AnonymousMemory bytes(kPages * kPage);
    fill(bytes.data(), kPages * kPage, kSeed);
    std::ofstream(path(), std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), kPages * kPage);
  }

  // Objects 1 and 3 of the run are in the base.
  StoreOptions options() const {
    StoreOptions options = make_options(directory_ / "run", {directory_ / "a", directory_ / "b"}, {1.0, 1.0});
    options.engine = io::EngineChoice::threads;
    options.base = BaseFile{path(), {{}, {3 * kPage, 8 * kPage}, {}, {11 * kPage, 5 * kPage}}};
    return options;
  }
  std::string path() const { return directory_ / "base.bin"; }

  static void expect_base(Store& store) {
    const memory::AnonymousMemory whole(kPages * kPage);
    fill(whole.data(), kPages * kPage, kSeed);
    const memory::AnonymousMemory part(5 * kPage);
    store.read({Kind::base, 1, 2 * kPage, 5 * kPage}, 0, part.data());
    EXPECT_EQ(std::memcmp(part.data(), whole.data() + 5 * kPage, 5 * kPage), 0);
    store.read({Kind::base, 3, 0, 5 * kPage}, 1, part.data());
    EXPECT_EQ(std::memcmp(part.data(), whole.data() + 11 * kPage, 5 * kPage), 0) << "it has no slots";
  }

  static constexpr std::uint64_t kPages = 16;
  static constexpr std::uint64_t kSeed = 99;
  TemporaryDirectory directory_;
};

TEST_F(BaseFileTest, IsReadBesideARunAndByAllWhoOpenIt) {
  {
    const auto store = Store::create(options(), small_layout(2));
    expect_base(*store);
    EXPECT_EQ(store->base_bytes(1), 8 * kPage);
    EXPECT_EQ(store->base_bytes(2), 0U);
    EXPECT_EQ(store->base_bytes(77), 0U);
    io::Request request;
    ASSERT_EQ(store->plan(io::Direction::read, {Kind::base, 3, kPage, kPage}, 0, nullptr, nullptr, {&request, 1}), 1U);
    EXPECT_EQ(request.offset, 12 * kPage);
    EXPECT_EQ(store->path_of(request.file), path());
    commit_step(*store, 1);
    const auto other = Store::open_reader(options());
    expect_base(*other);
  }
  const auto again = Store::open(options(), no_scratch());
  again->verify({});
  expect_base(*again);
}

TEST_F(BaseFileTest, IsNeverWrittenCountedOrRemoved) {
  struct stat before {};
  ASSERT_EQ(::stat(path().c_str(), &before), 0);
  std::uint64_t bytes = 0;
  {
    StoreOptions without = options();
    without.base.reset();
    without.run_dir = directory_ / "other";
    without.ssd_paths = {directory_ / "c", directory_ / "d"};
    bytes = Store::create(without, small_layout(2))->report().bytes_per_path[0];
  }
  const std::set<std::string> own = tree(directory_.path());
  {
    const auto store = Store::create(options(), small_layout(2));
    EXPECT_EQ(store->report().bytes_per_path[0], bytes);
    const memory::AnonymousMemory data(kPage);
    EXPECT_THROW(store->write({Kind::base, 1, 0, kPage}, 0, data.data()), std::logic_error);
    commit_step(*store, 1);
    EXPECT_FALSE(store->manifest()->storage.at("kinds").contains("base"));
    EXPECT_FALSE(fs::exists(directory_ / "a/gsnake-base.bin"));
  }
  StoreOptions over = options();
  over.overwrite = true;
  { Store::create(over, small_layout(1)); }  // goes without a trace, for want of a commit
  EXPECT_TRUE(fs::exists(path()));
  struct stat after {};
  ASSERT_EQ(::stat(path().c_str(), &after), 0);
  EXPECT_EQ(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
  EXPECT_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
  EXPECT_EQ(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
  EXPECT_TRUE(own.contains("base.bin"));
}

TEST_F(BaseFileTest, OfAnObjectThatIsNotThereIsTheCallersFault) {
  const auto store = Store::create(options(), small_layout(1));
  const memory::AnonymousMemory data(16 * kPage);
  for (const Extent& extent :
       {Extent{Kind::base, 0, 0, kPage}, Extent{Kind::base, 9, 0, kPage}, Extent{Kind::base, 1, 4 * kPage, 5 * kPage}}) {
    EXPECT_THROW(store->read(extent, 0, data.data()), std::logic_error) << extent.object;
  }
}

TEST_F(BaseFileTest, ThatIsMissingOrShortIsRefusedBeforeAnythingIsTouched) {
  { Store::create(options(), small_layout(1))->commit(Commit{}); }
  StoreOptions over = options();
  over.overwrite = true;
  const auto refused = [&](const std::string& part) {
    for (const auto& make :
         std::vector<std::function<void()>>{[&] { Store::create(over, small_layout(1)); }, [&] { Store::open(options(), no_scratch()); },
                                            [&] { Store::open_reader(options()); }}) {
      const std::string message = message_of(ErrorKind::storage, make);
      EXPECT_NE(message.find(part), std::string::npos) << message;
      EXPECT_NE(message.find(path()), std::string::npos) << message;
    }
    StoreOptions without = options();
    without.base.reset();
    EXPECT_NE(Store::open(without, no_scratch())->manifest(), nullptr) << "the run is as it was";
  };
  fs::resize_file(path(), 15 * kPage);
  refused("gsnake quantize");
  fs::remove(path());
  refused("No such file");
}

// It is nobody's business what else a folder holds.
TEST_F(BaseFileTest, HasNoNameAmongTheRunsFiles) {
  fs::create_directories(directory_ / "a");
  std::ofstream(directory_ / "a/gsnake-base.bin") << "somebody's";
  { Store::create(options(), small_layout(1))->commit(Commit{}); }
  StoreOptions over = options();
  over.overwrite = true;
  { Store::create(over, small_layout(1)); }
  EXPECT_TRUE(fs::exists(directory_ / "a/gsnake-base.bin"));
}

TEST(LayoutOfABase, IsNoRuns) {
  Layout layout;
  layout.kinds[core::index_of(Kind::base)] = kind_of(1, {kPage});
  EXPECT_NE(message_of(ErrorKind::usage, [&] { validate(layout); }).find("base"), std::string::npos);
}

}  // namespace
}  // namespace gsnake::store
