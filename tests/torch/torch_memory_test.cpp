// The allocator that counts and caps LibTorch's temporaries.
#include <gtest/gtest.h>

#include <thread>

#include "greedysnake/error.h"
#include "greedysnake/models.h"
#include "model/binding.h"
#include "model/seeding.h"
#include "model/unit_ops.h"
#include "torch/memory.h"

namespace gsnake::backend {
namespace {

constexpr std::int64_t kMegabyte = 1 << 20;

class TorchMemory : public testing::Test {
 protected:
  void SetUp() override {
    torch::set_num_threads(1);
  }
  const TorchAllocator allocator_;
  TorchMemoryMeter meter_;
};

torch::Tensor megabytes(std::int64_t count) { return torch::empty({count * kMegabyte}, torch::kUInt8); }

TEST_F(TorchMemory, CountsWhatIsInUseAndTheMostThatWas) {
  const MeteredScope scope(meter_);
  torch::Tensor first = megabytes(3);
  {
    const torch::Tensor second = megabytes(2);
    EXPECT_EQ(meter_.in_use_bytes, 5 * kMegabyte);
  }
  EXPECT_EQ(meter_.in_use_bytes, 3 * kMegabyte);
  first = torch::Tensor();
  EXPECT_EQ(meter_.in_use_bytes, 0);
  EXPECT_EQ(meter_.peak_bytes, 5 * kMegabyte);
}

TEST_F(TorchMemory, BeyondTheCapThrowsAndTheRefusedBytesAreNotCharged) {
  meter_.cap_bytes = 4 * kMegabyte;
  const MeteredScope scope(meter_);
  const torch::Tensor kept = megabytes(3);
  try {
    megabytes(2);
    FAIL() << "5 MiB were given under a cap of 4";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::budget);
    EXPECT_NE(std::string(error.what()).find("4"), std::string::npos) << error.what();
  }
  EXPECT_EQ(meter_.in_use_bytes, 3 * kMegabyte);
  EXPECT_NO_THROW(megabytes(1));
}

TEST_F(TorchMemory, CountsOnlyInsideTheScopeAndOnItsThread) {
  torch::Tensor outside = megabytes(1);
  {
    const MeteredScope scope(meter_);
    std::thread([] { megabytes(8); }).join();
    EXPECT_EQ(meter_.peak_bytes, 0);
    TorchMemoryMeter inner;
    {
      const MeteredScope nested(inner);
      megabytes(2);
    }
    EXPECT_EQ(inner.peak_bytes, 2 * kMegabyte);
    EXPECT_EQ(meter_.peak_bytes, 0);
    megabytes(1);
  }
  megabytes(8);
  EXPECT_EQ(meter_.peak_bytes, kMegabyte);
}

TEST_F(TorchMemory, EveryScopeStartsFromNothingInUse) {
  torch::Tensor survivor;
  {
    const MeteredScope scope(meter_);
    survivor = megabytes(2);
  }
  const MeteredScope scope(meter_);
  EXPECT_EQ(meter_.in_use_bytes, 0);
  EXPECT_EQ(meter_.peak_bytes, 2 * kMegabyte);
}

// A meter whose blocks lie in an arena of so many bytes.
class TorchArena : public TorchMemory {
 protected:
  void give_room(std::uint64_t bytes) {
    arena_ = memory::BlockArena::open(bytes);
    meter_.arena = arena_.get();
  }
  // nullptr for a tensor that is in none: what is not ours has no header.
  static const memory::BlockArena* arena_of(const torch::Tensor& tensor) {
    return memory::BlockArena::holds(tensor.data_ptr()) ? memory::Block::of(tensor.data_ptr()).arena : nullptr;
  }

  memory::BlockArena::Owner arena_;
};

TEST_F(TorchArena, BlocksLieInItInsideTheScopeOnItsThreadAlone) {
  give_room(8 * kMegabyte);
  const torch::Tensor before = megabytes(1);
  const MeteredScope scope(meter_);
  const torch::Tensor inside = megabytes(1);
  EXPECT_EQ(arena_of(before), nullptr);
  EXPECT_EQ(arena_of(inside), arena_.get());
  std::thread([] { EXPECT_EQ(arena_of(megabytes(1)), nullptr); }).join();
  EXPECT_EQ(meter_.outside_bytes, 0U);
}

TEST_F(TorchArena, WhatDoesNotFitComesFromTheOrdinaryAllocatorIsCountedAndStillCapped) {
  give_room(2 * kMegabyte);
  meter_.cap_bytes = 4 * kMegabyte;
  const MeteredScope scope(meter_);
  const torch::Tensor inside = megabytes(1);
  const torch::Tensor outside = megabytes(3);
  EXPECT_EQ(arena_of(inside), arena_.get());
  EXPECT_EQ(arena_of(outside), nullptr);
  EXPECT_EQ(meter_.outside_bytes, 3U * kMegabyte);
  EXPECT_EQ(meter_.in_use_bytes, 4 * kMegabyte);
  EXPECT_THROW(megabytes(1), CapExceeded);
}

TEST_F(TorchArena, WhatIsFreedAfterTheScopeOrOnAnotherThreadIsRoomAgain) {
  constexpr std::int64_t kRoom = 4;
  give_room(kRoom * kMegabyte + 4096);
  torch::Tensor kept;
  for (int turn = 0; turn < 20; ++turn) {
    {
      const MeteredScope scope(meter_);
      torch::Tensor elsewhere = megabytes(kRoom - 1);
      std::thread([moved = std::move(elsewhere)]() mutable { moved = torch::Tensor(); }).join();
      kept = megabytes(kRoom);
      EXPECT_EQ(arena_of(kept), arena_.get());
    }
    kept = torch::Tensor();
  }
  EXPECT_EQ(meter_.outside_bytes, 0U);
}

TEST_F(TorchArena, ATensorOutlivesIt) {
  give_room(2 * kMegabyte);
  torch::Tensor kept;
  {
    const MeteredScope scope(meter_);
    kept = megabytes(1);
  }
  arena_.reset();
  kept.fill_(7);
  EXPECT_EQ(kept.sum().item<std::int64_t>(), 7 * kMegabyte);
}

// The same allocations in a dry run and in an arena of as many bytes as it says.
TEST_F(TorchArena, ADryRunSaysHowManyBytesAreEnough) {
  const auto work = [] {
    torch::Tensor first = megabytes(3);
    const torch::Tensor second = megabytes(1);
    first = megabytes(2);  // lies behind the second one
    return megabytes(3);   // where the first one was
  };
  constexpr std::uint64_t kEnough = 1ULL << 40;
  RehearsedRoom room(kEnough);
  meter_.rehearsed = &room;
  {
    const MeteredScope scope(meter_);
    work();
  }
  EXPECT_EQ(room.extent(), static_cast<std::uint64_t>(6 * kMegabyte) + 3 * 64);
  EXPECT_EQ(meter_.peak_bytes, 6 * kMegabyte);
  for (const std::uint64_t less : {0U, 1U}) {
    meter_ = {};
    give_room(room.extent() - less);
    const MeteredScope scope(meter_);
    work();
    EXPECT_EQ(meter_.outside_bytes > 0, less > 0);
    RehearsedRoom again(room.extent() - less);
    TorchMemoryMeter dry;
    dry.rehearsed = &again;
    const MeteredScope nested(dry);
    if (less == 0) {
      EXPECT_NO_THROW(work());
    } else {
      EXPECT_THROW(work(), CapExceeded);
      EXPECT_EQ(dry.in_use_bytes, 0);
    }
  }
}

TEST_F(TorchMemory, LogitsNeverExistForMoreThanAChunk) {
  constexpr std::int64_t kTokens = 512;
  constexpr std::int64_t kChunk = 32;
  ModelConfig config;
  config.hidden = 32;
  config.heads = 2;
  config.layers = 1;
  config.vocab = 4096;
  config.context = kTokens;
  const Model model = models::make(config);
  auto& head = dynamic_cast<HeadUnit&>(*model.kinds.back().module);
  const optim::FlatLayout layout = optim::make_flat_layout(model::parameters_of(head), false);
  torch::Tensor weights = torch::randn(static_cast<std::int64_t>(layout.elements)) * 0.1;
  torch::Tensor gradients = torch::zeros_like(weights);
  model::bind_parameters(head, model::views(weights.data_ptr(), layout));
  model::set_gradients(head, model::views(gradients.data_ptr(), layout));
  const torch::Tensor hidden = torch::randn({1, kTokens, config.hidden});
  const torch::Tensor labels = torch::randint(config.vocab, {1, kTokens}, torch::kInt64);
  torch::Tensor gradient = torch::empty_like(hidden);
  const auto peak_of = [&](std::int64_t chunk) {
    TorchMemoryMeter meter;
    const MeteredScope scope(meter);
    torch::Tensor loss = torch::zeros({}, torch::kFloat64);
    model::head_forward_backward(head, hidden, labels, {1.0F, chunk}, &gradient, loss);
    return meter.peak_bytes;
  };
  const std::int64_t all_logits = kTokens * config.vocab * 4;
  EXPECT_LT(peak_of(kChunk), all_logits / 2);
  EXPECT_GT(peak_of(kTokens), all_logits);
}

// Not of the fixture, whose allocator is there throughout.
TEST(TorchAllocatorOfAProcess, IsTheProgramsOwnAgainAfterwards) {
  c10::Allocator* own = c10::GetAllocator(c10::DeviceType::CPU);
  {
    const TorchAllocator first;
    const TorchAllocator second;
    EXPECT_NE(c10::GetAllocator(c10::DeviceType::CPU), own);
  }
  EXPECT_EQ(c10::GetAllocator(c10::DeviceType::CPU), own);
}

TEST(TorchAllocatorOfAProcess, StaysForTensorsThatOutliveItAndGoesWithTheLast) {
  c10::Allocator* own = c10::GetAllocator(c10::DeviceType::CPU);
  TorchMemoryMeter meter;
  torch::Tensor kept;
  {
    const TorchAllocator ours;
    const MeteredScope scope(meter);
    kept = torch::ones({kMegabyte});
  }
  EXPECT_NE(c10::GetAllocator(c10::DeviceType::CPU), own);
  kept.resize_({2 * kMegabyte});  // asks the allocator that it was made with
  EXPECT_EQ(kept[5].item<float>(), 1.0F);
  EXPECT_EQ(c10::GetAllocator(c10::DeviceType::CPU), own) << "the block of ours is gone";
}

// As oneDNN keeps its memory: without a deleter beside it.
TEST(TorchAllocatorOfAProcess, BareMemoryGoesBackToWhoeverGaveIt) {
  void* before = c10::GetAllocator(c10::DeviceType::CPU)->raw_allocate(4096);
  void* outside = nullptr;
  TorchMemoryMeter meter;
  {
    const TorchAllocator ours;
    c10::Allocator* allocator = c10::GetAllocator(c10::DeviceType::CPU);
    outside = allocator->raw_allocate(4096);
    const MeteredScope scope(meter);
    void* inside = allocator->raw_allocate(4096);
    EXPECT_EQ(meter.in_use_bytes, 4096);
    allocator->raw_deallocate(before);
    EXPECT_EQ(meter.in_use_bytes, 4096) << "what was the program's is not counted";
    allocator->raw_deallocate(inside);
    EXPECT_EQ(meter.in_use_bytes, 0);
  }
  c10::GetAllocator(c10::DeviceType::CPU)->raw_deallocate(outside);
}

}  // namespace
}  // namespace gsnake::backend
