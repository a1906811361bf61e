#include <algorithm>
#include <array>

#include "audit/report.h"

namespace gsnake::audit {

using namespace schedule;

namespace {

struct Conflict {
  int from = -1;
  int to = -1;
  int resource = -1;  // in the names of the earlier graph
};

// Two graphs laid end to end as one list of nodes in emission order.
class Pair {
 public:
  Pair(const Map& map, const Graph& previous, const Graph& next, std::span<const Edge> joins)
      : map_(map), previous_(previous), next_(next), offset_(static_cast<int>(previous.tasks.size())) {
    arrivals_.resize(previous.tasks.size() + next.tasks.size());
    add_edges(previous, 0);
    add_edges(next, offset_);
    for (const Edge& edge : joins) arrivals_[static_cast<std::size_t>(offset_ + edge.to)].push_back(edge.from);
    add_lanes();
  }

  Findings check() {
    std::vector<Conflict> conflicts = find_conflicts();
    std::sort(conflicts.begin(), conflicts.end(), [](const Conflict& a, const Conflict& b) { return a.from < b.from; });
    Reporter report;
    std::size_t i = 0;
    // Reachability from a block of sources at a time, so that memory grows with the tasks, not with their square.
    for (int begin = 0; begin < static_cast<int>(arrivals_.size()) && !report.full(); begin += kBlock) {
      if (i < conflicts.size() && conflicts[i].from < begin + kBlock) reach_from(begin);
      for (; i < conflicts.size() && conflicts[i].from < begin + kBlock; ++i) {
        if (!reached(begin, conflicts[i])) report(describe(conflicts[i]));
      }
    }
    return report.take();
  }

 private:
  static constexpr int kWords = 32;
  static constexpr int kBlock = kWords * 64;
  using Row = std::array<std::uint64_t, kWords>;

  struct Users {
    int writer = -1;
    std::vector<int> readers;  // since the last write
  };

  void add_edges(const Graph& graph, int offset) {
    for (std::size_t id = 0; id < graph.tasks.size(); ++id) {
      const auto from = static_cast<TaskId>(id);
      for (TaskId to : graph.successors_of(from)) arrivals_[static_cast<std::size_t>(offset + to)].push_back(offset + from);
    }
  }

  void add_lanes() {
    std::array<int, kLaneCount> last;
    last.fill(-1);
    for (std::size_t node = 0; node < arrivals_.size(); ++node) {
      const Lane lane = task(static_cast<int>(node)).lane;
      if (!runs_in_order(lane)) continue;
      int& before = last[static_cast<std::size_t>(lane)];
      if (before >= 0) arrivals_[node].push_back(before);
      before = static_cast<int>(node);
    }
  }

  [[nodiscard]] const Graph& graph(int node) const { return node < offset_ ? previous_ : next_; }
  [[nodiscard]] int id(int node) const { return node < offset_ ? node : node - offset_; }
  [[nodiscard]] const Task& task(int node) const { return graph(node).tasks[static_cast<std::size_t>(id(node))]; }

  // Consecutive conflicts suffice: order is transitive.
  [[nodiscard]] std::vector<Conflict> find_conflicts() const {
    std::vector<Conflict> conflicts;
    std::vector<Users> users(static_cast<std::size_t>(map_.resources()));
    for (int node = 0; node < static_cast<int>(arrivals_.size()); ++node) {
      for (const Access& access : graph(node).accesses(task(node))) {
        const int resource = node < offset_ ? access.resource : renamed(map_, previous_, access.resource);
        Users& seen = users[static_cast<std::size_t>(resource)];
        if (seen.writer >= 0) conflicts.push_back({seen.writer, node, resource});
        if (access.mode == Mode::read) {
          seen.readers.push_back(node);
          continue;
        }
        for (int reader : seen.readers) conflicts.push_back({reader, node, resource});
        seen = {node, {}};
      }
    }
    return conflicts;
  }

  // Row r: which nodes of [begin, begin + kBlock) lead to node begin + r.
  void reach_from(int begin) {
    rows_.assign(arrivals_.size() - static_cast<std::size_t>(begin), Row{});
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      for (int source : arrivals_[static_cast<std::size_t>(begin) + r]) {
        if (source < begin) continue;
        const Row& through = rows_[static_cast<std::size_t>(source - begin)];
        for (std::size_t w = 0; w < kWords; ++w) rows_[r][w] |= through[w];
        const int bit = source - begin;
        if (bit < kBlock) rows_[r][static_cast<std::size_t>(bit / 64)] |= 1ULL << (bit % 64);
      }
    }
  }

  [[nodiscard]] bool reached(int begin, const Conflict& conflict) const {
    const int bit = conflict.from - begin;
    return (rows_[static_cast<std::size_t>(conflict.to - begin)][static_cast<std::size_t>(bit / 64)] >> (bit % 64) & 1) != 0;
  }

  [[nodiscard]] std::string describe(const Conflict& c) const {
    return name_of(graph(c.to), id(c.to)) + " does not wait for " + name_of(graph(c.from), id(c.from)) + " on " + name_of(map_, c.resource);
  }

  const Map& map_;
  const Graph& previous_;
  const Graph& next_;
  const int offset_;
  std::vector<std::vector<int>> arrivals_;  // by node: the nodes it follows directly
  std::vector<Row> rows_;
};

}  // namespace

Findings audit_order(const Map& map, const Graph& previous, const Graph& next, std::span<const Edge> joins) {
  return Pair(map, previous, next, joins).check();
}

}  // namespace gsnake::audit
