// Shows that graphs are sound from their tasks, accesses, edges and join() alone: nothing of how they were emitted is trusted.
// What each check proves is in docs/schedule.md. Functions are pure; a graph that audit_tasks() objects to must not be given to the others.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "schedule/graph.h"

namespace gsnake::audit {

using schedule::Edge;
using schedule::Graph;
using schedule::Map;
using schedule::Program;
using schedule::Variant;

// One line each, at most kMostFindings from one call; empty when sound.
using Findings = std::vector<std::string>;
inline constexpr std::size_t kMostFindings = 20;

// Chunks cover their objects and have the homes and extents of their tiers, pools name their buffers, extents of one object do not overlap.
Findings audit_map(const Map& map);

// Every task on its own (lane, roles, modes, spaces, bytes, bounds), edges that lead forward, visits computed in their order, every
// gradient taken and every chunk updated once, end_order a permutation of each pool.
Findings audit_tasks(const Map& map, const Graph& graph);

// Conflicting accesses to one resource, within `next` and from `previous` to it, are ordered by edges, `joins` and lanes that run in
// order: exact reachability. Graphs further apart than these two are never in flight together, so pairs are all there is.
Findings audit_order(const Map& map, const Graph& previous, const Graph& next, std::span<const Edge> joins);

// What comes of a training step whose update waits for its outcome.
enum class Fate : std::uint8_t { plain, skipped, revised };

// Graphs that run one after another; `graphs` and `map` are borrowed.
struct Sequence {
  const Map* map = nullptr;
  std::vector<const Graph*> graphs;
  std::vector<std::vector<Edge>> joins;  // joins[i] leads from graphs[i - 1] to graphs[i]; joins[0] is empty
  std::vector<Fate> fates = {};          // by training step; plain for those beyond its end
};

// Some steps are skipped or revised, where the problem's guard allows it.
void draw_fates(Sequence& sequence, std::uint64_t seed);

Sequence compose(const Program& program, std::span<const Variant> variants);
// Walks from load that together take every allowed pair of variants; each ends with finish where there is one.
std::vector<std::vector<Variant>> covering_walks(const Program& program);

// Runs a sequence on symbols (weights of a chunk at a version, gradients as lists of micro-batches, checkpoints of a step) and checks
// what every task finds. In emission order: edges play no part.
Findings audit_contents(const Sequence& sequence);
// Likewise in a random order that edges, lanes and the limit of two graphs in flight allow: finds edges that are missing.
Findings audit_shuffled(const Sequence& sequence, std::uint64_t seed);

// All of the above over every allowed pair and the covering walks, in emission order and in `shuffles` random orders.
Findings audit(const Program& program, int shuffles, std::uint64_t seed);

}  // namespace gsnake::audit
