#include "generate/placement.h"

#include <gmock/gmock.h>

#include "greedysnake/error.h"

namespace gsnake::generate {
namespace {

// An embedding that the head uses too, three blocks, the head's own.
MemoryNeeds tied_needs() {
  MemoryNeeds needs;
  needs.objects = {100, 40, 40, 40, 10};
  needs.uses = {{0}, {1}, {2}, {3}, {4, 0}};
  needs.first_to_stay = 0;
  needs.caches = {0, 20, 20, 20, 0};
  needs.caches_detail = "1 text of up to 5 tokens";
  needs.fixed = {{"device", "hidden states", 30, ""}, {"host", "ids", 5, ""}};
  return needs;
}

GenerationMemory placed(std::uint64_t device, std::uint64_t host, const MemoryNeeds& needs) {
  MemoryConfig budgets;
  budgets.device_budget = device;
  budgets.host_budget = host;
  const std::optional<GenerationMemory> found = place(budgets, needs);
  if (!found) ADD_FAILURE() << "no room";
  GenerationMemory memory = found.value_or(GenerationMemory());
  std::uint64_t on_device = 0;
  std::uint64_t on_host = 0;
  for (const MemoryItem& item : memory.items) (item.tier == "device" ? on_device : on_host) += item.bytes;
  EXPECT_LE(on_device, device);
  EXPECT_LE(on_host, host);
  return memory;
}

constexpr Tier D = Tier::device;
constexpr Tier H = Tier::host;
constexpr Tier S = Tier::storage;

TEST(Placement, WhatFitsStaysAndTakesNoSlots) {
  const GenerationMemory memory = placed(320, 5, tied_needs());
  EXPECT_EQ(memory.weights.tiers, (std::vector<Tier>{D, D, D, D, D}));
  EXPECT_EQ(memory.weights.slots, 0);
  EXPECT_EQ(memory.caches, (std::vector<Tier>{D, D, D, D, D}));
}

TEST(Placement, TheHostTakesWhatTheDeviceDoesNot) {
  const GenerationMemory memory = placed(190, 135, tied_needs());
  EXPECT_EQ(memory.weights.slots, 0);
  EXPECT_EQ(memory.weights.tiers, (std::vector<Tier>{D, H, H, H, H}));
}

TEST(Placement, WhatIsUsedTwiceStaysFirstAndTheRestIsReadIntoTheSmallestSlotsThatDo) {
  // 30 + 60 of fixed things and caches, 100 of the embedding, two slots of 40, one block: 310.
  const GenerationMemory memory = placed(319, 5, tied_needs());
  EXPECT_EQ(memory.weights.slots, 2) << "as many as one unit has objects; twice as many find no room";
  EXPECT_EQ(memory.weights.slot_bytes, 40U);
  EXPECT_EQ(memory.weights.tiers, (std::vector<Tier>{D, D, S, S, S}));
}

TEST(Placement, KeysAndValuesComeBeforeWeights) {
  const GenerationMemory memory = placed(30 + 60 + 80, 5 + 130, tied_needs());
  EXPECT_EQ(memory.caches, (std::vector<Tier>{D, D, D, D, D}));
  EXPECT_EQ(memory.weights.tiers[0], H);
  const GenerationMemory tight = placed(30 + 20 + 80, 5 + 40 + 100, tied_needs());
  EXPECT_EQ(tight.caches, (std::vector<Tier>{D, D, H, H, D}));
}

TEST(Placement, ADeviceOfItsOwnNeedsSlotsForWhatIsOnTheHost) {
  MemoryNeeds needs = tied_needs();
  needs.reads_through_host = true;
  const GenerationMemory memory = placed(30 + 60 + 100 + 160, 5 + 200 + 130, needs);
  EXPECT_EQ(memory.weights.slots, 0);
  const GenerationMemory fewer = placed(30 + 60 + 100 + 90, 5 + 200 + 130, needs);
  EXPECT_EQ(fewer.weights.slots, 2);
  EXPECT_EQ(fewer.weights.tiers, (std::vector<Tier>{D, H, H, H, D}));
  EXPECT_THAT(fewer.items, testing::Contains(testing::AllOf(testing::Field(&MemoryItem::name, "weights on their way"), testing::Field(&MemoryItem::bytes, 200U))));
}

TEST(Placement, RefusesWithWhatNeedsWhat) {
  MemoryConfig budgets;
  budgets.device_budget = 60;
  budgets.host_budget = 10;
  try {
    EXPECT_FALSE(place(budgets, tied_needs()));
    refuse(budgets, tied_needs());
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::budget);
    for (const char* part : {"set memory.device_budget to at least 230 B and memory.host_budget to at least 65 B", "keys and values", "1 text of up to 5 tokens", "2 of 100 B"}) {
      EXPECT_THAT(error.what(), testing::HasSubstr(part));
    }
  }
}

}  // namespace
}  // namespace gsnake::generate
