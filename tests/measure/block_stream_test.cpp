// Streams of blocks, and how loads are observed.
#include "measure/block_stream.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "greedysnake/error.h"
#include "io/aligned_buffer.h"
#include "temporary_folder.h"

namespace gsnake::measure {
namespace {

constexpr std::uint64_t kBlock = 64 << 10;

class BlockStreamTest : public testing::Test {
 protected:
  BlockStreamTest() {
    for (const io::File& file : files_.files()) engine_->add_file(file);
  }
  BlockStream stream(StreamOptions options) {
    options.block_bytes = kBlock;
    options.depth = 4;
    return {*engine_, files_, memory_.data(), options};
  }

  const test::TemporaryFolder folder_;
  const TestFiles files_{{folder_.path()}, 1, kTestFileMultiple, io::DirectIo::automatic};
  io::AlignedBuffer memory_{4 * kBlock};
  std::unique_ptr<io::IoEngine> engine_ = io::make_thread_engine({.depth = 8, .threads = 4});
};

TEST_F(BlockStreamTest, MovesSoManyBlocksWhetherOrNotTheyAreChecked) {
  for (const bool checked : {false, true}) {
    for (const double read_share : {0.0, 0.25, 1.0}) {
      BlockStream some = stream({.read_share = read_share, .blocks = 100, .checked = checked});
      Counter counter;
      some.run(&counter);
      EXPECT_EQ(some.moved(), 100U);
      EXPECT_EQ(some.reads(), static_cast<std::uint64_t>(100 * read_share));
      EXPECT_EQ(counter.read().events, 100U);
      EXPECT_EQ(counter.read().amount, 100.0 * kBlock);
    }
  }
}

TEST_F(BlockStreamTest, GoesOverItsFilesAgainUntilItIsStopped) {
  BlockStream endless = stream({.checked = true});
  std::thread thread([&] { endless.run(); });
  while (endless.moved() * kBlock <= 2 * files_.total_bytes()) std::this_thread::yield();
  endless.stop();
  thread.join();
  EXPECT_GT(endless.moved() * kBlock, 2 * files_.total_bytes());
}

TEST_F(BlockStreamTest, EndsWhereTheEngineHasNoRoom) {
  const auto narrow = io::make_thread_engine({.depth = 2, .threads = 1});
  narrow->add_file(files_.files().front());
  BlockStream stream(*narrow, files_, memory_.data(), {.block_bytes = kBlock, .depth = 4, .blocks = 1000, .what = "a narrow engine"});
  try {
    stream.run();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::storage);
    EXPECT_NE(std::string(error.what()).find("a narrow engine"), std::string::npos);
  }
}

std::array<const Load*, 1> only(const Load& load) { return {&load}; }

TEST(Observe, CountsOverTheTimeBetweenEvents) {
  const Load slow("naps", {repeated([] {
                    std::this_thread::sleep_for(std::chrono::milliseconds(5));
                    return 10.0;
                  })});
  // An event of 10 each 5 ms or more; the window is shorter than that, and is drawn out.
  const Observation seen = observe(only(slow), {.seconds = 0.001, .most_seconds = 10.0});
  EXPECT_GT(seen.per_second.front(), 0.0);
  EXPECT_LE(seen.per_second.front(), 2000.0);
}

TEST(Observe, ThrowsWhatALoadThrew) {
  const Load failing("failing", {repeated([]() -> double { throw std::runtime_error("broken"); })});
  EXPECT_THROW(static_cast<void>(observe(only(failing), {.seconds = 0.001, .most_seconds = 10.0})), std::runtime_error);
}

TEST(Observe, RefusesALoadThatDoesNothing) {
  const Load idle("a drive that hangs", {[](const std::stop_token& stop, Counter&) {
                    while (!stop.stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
                  }});
  try {
    static_cast<void>(observe(only(idle), {.seconds = 0.001, .most_seconds = 0.01}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("a drive that hangs"), std::string::npos);
  }
}

}  // namespace
}  // namespace gsnake::measure
