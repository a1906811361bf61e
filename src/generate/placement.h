// What stays in memory while a model generates: as much as the budgets allow, in place of a key that says it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "generate/weight_feed.h"
#include "greedysnake/config.h"
#include "greedysnake/results.h"

namespace gsnake::generate {

// In bytes.
struct MemoryNeeds {
  std::vector<std::uint64_t> objects;           // in memory
  std::vector<std::vector<int>> uses;           // objects, by unit
  int first_to_stay = -1;                       // the object that a pass uses twice; -1: none
  std::vector<std::uint64_t> caches;            // by unit
  std::uint64_t longest_cache = 0;              // of a unit, of one text
  std::string caches_detail;                    // "2 texts of up to 300 tokens"
  std::vector<MemoryItem> fixed;                // what is there wherever the rest is
  std::uint64_t host_growth = 0;                // of buffers, at the most, where the host's budget is larger; a third of what is there already at the most
  bool lacks_temporaries = false;               // `fixed` does: they were not measured yet
  bool reads_through_host = false;              // the device has memory of its own
};

struct GenerationMemory {
  WeightPlacement weights;
  std::vector<Tier> caches;  // by unit
  std::vector<MemoryItem> items;
};

// Keys and values come before weights, the device before the host. Nothing where there is no room.
std::optional<GenerationMemory> place(const MemoryConfig& budgets, const MemoryNeeds& needs);
// Throws Error(budget) with a table of what needs what, and budgets with which place() finds room.
[[noreturn]] void refuse(const MemoryConfig& budgets, const MemoryNeeds& needs);
// Whether a dry run of one unit, with its weights and what is kept of the longest text, stays within the budgets.
bool has_room_for_dry_runs(const MemoryConfig& budgets, const MemoryNeeds& needs);
// What the device budget leaves at the most for what is not among needs.fixed.
std::uint64_t room_beside(const MemoryConfig& budgets, const MemoryNeeds& needs);

}  // namespace gsnake::generate
