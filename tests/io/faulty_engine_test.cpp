// The test engine does what it is told to, and faults that an engine must make good leave the same bytes as none.
#include "io/faulty_engine.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "core/errors.h"
#include "io/harmless_faults.h"
#include "io/test_support.h"

namespace gsnake::io {
namespace {

using testing::Damage;
using testing::Fate;
using testing::FaultyEngine;
using testing::fill;
using testing::same;
using testing::TemporaryDirectory;
using testing::Waiter;

constexpr std::size_t kBlock = 4096;

class FaultyEngineTest : public ::testing::TestWithParam<EngineChoice> {
 protected:
  static constexpr std::size_t kBytes = 16 * kBlock;

  std::unique_ptr<IoEngine> make_plain(const EngineOptions& options = {}) {
    return GetParam() == EngineChoice::io_uring ? make_uring_engine(options) : make_thread_engine(options);
  }
  void make(Fate fate) {
    engine_ = std::make_unique<FaultyEngine>(make_plain(), [fate](const Request&, const std::string&) { return fate; });
    ASSERT_EQ(engine_->add_file(file_), 0);
  }
  std::error_code run(IoEngine& engine, Direction op, AlignedBuffer& memory, std::uint64_t offset) {
    Waiter waiter;
    const Request one{.op = op, .file = 0, .offset = offset, .data = memory.data(), .size = memory.size(), .completion = &waiter};
    EXPECT_TRUE(engine.try_submit({&one, 1}));
    return waiter.wait();
  }
  // What the file holds at `offset`, by an engine without faults.
  AlignedBuffer content(std::uint64_t offset, std::size_t bytes) {
    AlignedBuffer memory(bytes);
    const auto plain = make_plain();
    plain->add_file(file_);
    EXPECT_FALSE(run(*plain, Direction::read, memory, offset));
    return memory;
  }

  TemporaryDirectory directory_;
  File file_ = File::create(directory_.file("data"), kBytes, DirectIo::off);
  std::unique_ptr<IoEngine> engine_;
};

int differing_bits(const AlignedBuffer& a, const AlignedBuffer& b) {
  int bits = 0;
  for (std::size_t i = 0; i < a.size(); ++i) bits += __builtin_popcount(static_cast<unsigned>(a.data()[i] ^ b.data()[i]));
  return bits;
}

TEST_P(FaultyEngineTest, ErrorsAreToldWithoutATransfer) {
  make({.error = core::errno_code(EIO)});
  AlignedBuffer memory(kBlock);
  fill(memory, 1);
  EXPECT_EQ(run(*engine_, Direction::write, memory, 0), core::errno_code(EIO));
  EXPECT_TRUE(same(content(0, kBlock), AlignedBuffer(kBlock), kBlock));
}

TEST_P(FaultyEngineTest, ABitFlipsInWhatIsWrittenAndInWhatIsRead) {
  make({.damage = Damage::flipped_bit});
  AlignedBuffer memory(2 * kBlock);
  AlignedBuffer before(2 * kBlock);
  fill(memory, 1);
  fill(before, 1);
  EXPECT_FALSE(run(*engine_, Direction::write, memory, kBlock));
  EXPECT_TRUE(same(memory, before, memory.size())) << "the caller's memory stays as it is";
  EXPECT_EQ(differing_bits(content(kBlock, 2 * kBlock), memory), 1);
  EXPECT_FALSE(run(*engine_, Direction::read, memory, 4 * kBlock));
  EXPECT_EQ(differing_bits(memory, AlignedBuffer(2 * kBlock)), 1);
}

TEST_P(FaultyEngineTest, ALostWriteChangesNothing) {
  make({.damage = Damage::lost});
  AlignedBuffer memory(kBlock);
  fill(memory, 1);
  EXPECT_FALSE(run(*engine_, Direction::write, memory, 0));
  EXPECT_TRUE(same(content(0, kBlock), AlignedBuffer(kBlock), kBlock));
}

TEST_P(FaultyEngineTest, AMisdirectedWriteLandsAPageAway) {
  make({.damage = Damage::misdirected});
  AlignedBuffer memory(kBlock);
  fill(memory, 1);
  EXPECT_FALSE(run(*engine_, Direction::write, memory, 3 * kBlock));
  EXPECT_TRUE(same(content(3 * kBlock, kBlock), AlignedBuffer(kBlock), kBlock));
  EXPECT_TRUE(same(content(2 * kBlock, kBlock), memory, kBlock));
}

TEST_P(FaultyEngineTest, CompletionsComeAsLateAsAskedAndOutOfOrder) {
  constexpr std::chrono::milliseconds kLate{20};
  int asked = 0;
  engine_ = std::make_unique<FaultyEngine>(
      make_plain(), [&](const Request&, const std::string&) { return Fate{.delay = asked++ == 0 ? kLate : kLate / 20}; });
  engine_->add_file(file_);
  AlignedBuffer memory(2 * kBlock);
  Waiter first;
  Waiter second;
  const auto start = std::chrono::steady_clock::now();
  const std::array requests{
      Request{.op = Direction::read, .file = 0, .offset = 0, .data = memory.data(), .size = kBlock, .completion = &first},
      Request{.op = Direction::read, .file = 0, .offset = 0, .data = memory.data() + kBlock, .size = kBlock, .completion = &second}};
  ASSERT_TRUE(engine_->try_submit(requests));
  EXPECT_FALSE(second.wait());
  EXPECT_EQ(first.count(), 0);
  EXPECT_FALSE(first.wait());
  EXPECT_GE(std::chrono::steady_clock::now() - start, kLate);
}

// Reads and writes at random, none of which touch the same blocks at once.
class RandomTransfers {
 public:
  static constexpr std::size_t kBlocks = 96;
  RandomTransfers(IoEngine& engine, std::uint64_t seed) : engine_(engine), random_(seed) {}

  // Returns a digest of all that was read.
  std::uint64_t round() {
    Waiter waiter;
    std::vector<Request> requests;
    std::vector<std::pair<std::size_t, std::size_t>> reads;
    for (std::size_t block = 0; block < kBlocks;) {
      const std::size_t blocks = std::min<std::size_t>(1 + random_() % 40, kBlocks - block);
      const Direction op = random_() % 2 == 0 ? Direction::read : Direction::write;
      std::byte* const data = memory_.data() + block * kBlock;
      for (std::size_t i = 0; i < blocks * kBlock; i += 8) {
        const std::uint64_t value = random_();  // drawn for reads too: both engines' draws must agree
        if (op == Direction::write) std::memcpy(data + i, &value, 8);
      }
      if (op == Direction::read) reads.emplace_back(block * kBlock, blocks * kBlock);
      requests.push_back({.op = op, .file = 0, .offset = block * kBlock, .data = data, .size = blocks * kBlock, .completion = &waiter});
      block += blocks;
    }
    for (const Request& request : requests) {
      while (!engine_.try_submit({&request, 1})) std::this_thread::yield();
    }
    EXPECT_FALSE(waiter.wait(static_cast<int>(requests.size())));
    std::uint64_t digest = 0;
    for (const auto& [start, bytes] : reads) {
      for (std::size_t i = start; i < start + bytes; ++i)
        digest = digest * 1099511628211ULL + static_cast<std::uint64_t>(memory_.data()[i]);
    }
    return digest;
  }

 private:
  IoEngine& engine_;
  std::mt19937_64 random_;
  AlignedBuffer memory_{kBlocks * kBlock};
};

TEST_P(FaultyEngineTest, HarmlessFaultsGiveTheBytesOfAPlainEngine) {
  for (std::uint64_t seed = 1; seed <= 6 && !HasFailure(); ++seed) {
    const EngineOptions options{.depth = static_cast<unsigned>(1 + seed * 3 % 8), .threads = 3, .split_bytes = 12 * kBlock};
    for (const char* name : {"plain", "faulty"}) std::filesystem::remove(directory_.file(name));
    const File plain_file = File::create(directory_.file("plain"), RandomTransfers::kBlocks * kBlock, DirectIo::automatic);
    const File faulty_file = File::create(directory_.file("faulty"), RandomTransfers::kBlocks * kBlock, DirectIo::automatic);
    const auto plain = make_plain(options);
    const auto faulty = testing::make_harmless_engine(GetParam(), options, seed);
    plain->add_file(plain_file);
    faulty->add_file(faulty_file);
    RandomTransfers expected(*plain, seed);
    RandomTransfers found(*faulty, seed);
    for (int round = 0; round < 6; ++round) ASSERT_EQ(found.round(), expected.round()) << "seed " << seed << ", round " << round;
  }
}

std::string engine_name(const ::testing::TestParamInfo<EngineChoice>& info) {
  return info.param == EngineChoice::io_uring ? "Uring" : "Threads";
}

INSTANTIATE_TEST_SUITE_P(Engines, FaultyEngineTest, ::testing::Values(EngineChoice::io_uring, EngineChoice::threads), engine_name);

}  // namespace
}  // namespace gsnake::io
