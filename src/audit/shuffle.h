// Random orders in which a sequence of graphs may run.
#pragma once

#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include "audit/audit.h"

namespace gsnake::audit {

using schedule::Task;
using schedule::TaskId;
using schedule::kLaneCount;

// Draws an order that respects edges, joins, the lanes that run in order, and the rule that a graph starts only when all but the one
// before it have ended. Lanes are favoured at random, so that some run far ahead and others starve.
class Shuffle {
 public:
  Shuffle(const Sequence& sequence, std::uint64_t seed);

  struct Step {
    std::size_t graph = 0;
    TaskId task = -1;  // -1: the graph is started
  };
  // False when nothing is left to draw; then done() says whether everything ran.
  bool next(Step& step);
  [[nodiscard]] bool done() const { return ran_ == nodes_.size(); }

 private:
  struct Node {
    std::size_t graph = 0;
    TaskId task = -1;
    int waits_for = 1;  // predecessors; one more until the graph may start
    std::vector<int> followers;
  };

  void add_edges();
  void add_lanes();
  void start_graphs();
  void arrive(int node);
  [[nodiscard]] std::size_t draw();
  [[nodiscard]] const Task& task(int node) const;

  const Sequence& sequence_;
  std::mt19937_64 random_;
  std::array<std::uint64_t, kLaneCount> favour_{};
  std::vector<Node> nodes_;
  std::vector<int> first_;         // node of each graph; one more at the end
  std::vector<std::size_t> left_;  // tasks of each graph that have not run
  std::size_t started_ = 0;        // graphs
  std::size_t told_ = 0;           // graphs whose start was drawn
  std::size_t ended_ = 0;          // graphs, in order
  std::vector<int> ready_;
  std::size_t ran_ = 0;
};

}  // namespace gsnake::audit
