#include "audit/shuffle.h"

namespace gsnake::audit {

using namespace schedule;

Shuffle::Shuffle(const Sequence& sequence, std::uint64_t seed) : sequence_(sequence), random_(seed) {
  for (std::uint64_t& favour : favour_) favour = 1ULL << (4 * (random_() % 4));
  for (std::size_t g = 0; g < sequence.graphs.size(); ++g) {
    first_.push_back(static_cast<int>(nodes_.size()));
    left_.push_back(sequence.graphs[g]->tasks.size());
    for (std::size_t id = 0; id < sequence.graphs[g]->tasks.size(); ++id) nodes_.push_back({g, static_cast<TaskId>(id), 1, {}});
  }
  first_.push_back(static_cast<int>(nodes_.size()));
  add_edges();
  add_lanes();
  start_graphs();
}

const Task& Shuffle::task(int node) const {
  const Node& n = nodes_[static_cast<std::size_t>(node)];
  return sequence_.graphs[n.graph]->tasks[static_cast<std::size_t>(n.task)];
}

void Shuffle::add_edges() {
  const auto connect = [this](int from, int to) {
    nodes_[static_cast<std::size_t>(from)].followers.push_back(to);
    ++nodes_[static_cast<std::size_t>(to)].waits_for;
  };
  for (std::size_t g = 0; g < sequence_.graphs.size(); ++g) {
    for (int node = first_[g]; node < first_[g + 1]; ++node) {
      for (TaskId to : sequence_.graphs[g]->successors_of(node - first_[g])) connect(node, first_[g] + to);
    }
    for (const Edge& edge : sequence_.joins[g]) connect(first_[g - 1] + edge.from, first_[g] + edge.to);
  }
}

void Shuffle::add_lanes() {
  std::array<int, kLaneCount> last;
  last.fill(-1);
  for (int node = 0; node < static_cast<int>(nodes_.size()); ++node) {
    const Lane lane = task(node).lane;
    if (!runs_in_order(lane)) continue;
    int& before = last[static_cast<std::size_t>(lane)];
    if (before >= 0) {
      nodes_[static_cast<std::size_t>(before)].followers.push_back(node);
      ++nodes_[static_cast<std::size_t>(node)].waits_for;
    }
    before = node;
  }
}

void Shuffle::start_graphs() {
  while (true) {
    while (ended_ < started_ && left_[ended_] == 0) ++ended_;
    if (started_ == sequence_.graphs.size() || started_ >= ended_ + 2) return;
    for (int node = first_[started_]; node < first_[started_ + 1]; ++node) arrive(node);
    ++started_;
  }
}

void Shuffle::arrive(int node) {
  if (--nodes_[static_cast<std::size_t>(node)].waits_for == 0) ready_.push_back(node);
}

std::size_t Shuffle::draw() {
  std::uint64_t sum = 0;
  for (int node : ready_) sum += favour_[static_cast<std::size_t>(task(node).lane)];
  std::uint64_t point = random_() % sum;
  std::size_t i = 0;
  for (; point >= favour_[static_cast<std::size_t>(task(ready_[i]).lane)]; ++i)
    point -= favour_[static_cast<std::size_t>(task(ready_[i]).lane)];
  return i;
}

bool Shuffle::next(Step& step) {
  if (told_ < started_) {
    step = {told_++, -1};
    return true;
  }
  if (ready_.empty()) return false;
  const std::size_t i = draw();
  const int node = ready_[i];
  ready_[i] = ready_.back();
  ready_.pop_back();
  Node& n = nodes_[static_cast<std::size_t>(node)];
  step = {n.graph, n.task};
  ++ran_;
  --left_[n.graph];
  for (int follower : n.followers) arrive(follower);
  start_graphs();
  return true;
}

}  // namespace gsnake::audit
