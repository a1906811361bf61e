// How the audit's findings name things.
#pragma once

#include <string>
#include <utility>

#include "audit/audit.h"

namespace gsnake::audit {

using schedule::Graph;
using schedule::Map;
using schedule::Task;
using schedule::TaskId;
using schedule::Variant;

inline std::string name_of(const Graph& graph, TaskId id) {
  const Task& task = graph.tasks[static_cast<std::size_t>(id)];
  std::string name = std::string(schedule::kVariantNames[static_cast<std::size_t>(graph.variant)]) + " task " + std::to_string(id) + " (" +
                     schedule::kOpNames[static_cast<std::size_t>(task.op)];
  if (task.chunk >= 0) name += ", chunk " + std::to_string(task.chunk);
  if (task.unit >= 0) name += ", unit " + std::to_string(task.unit) + ", micro-batch " + std::to_string(task.micro_batch);
  return name + ")";
}

inline std::string name_of(const Map& map, int resource) {
  if (map.is_buffer(resource))
    return "buffer " + std::to_string(resource) + " (" + map.buffers[static_cast<std::size_t>(resource)].name + ")";
  return "extent " + std::to_string(resource - static_cast<int>(map.buffers.size()));
}

inline bool is_built(const Graph& graph) { return !graph.end_order.empty(); }
inline bool is_training(const Graph& graph) { return graph.variant == Variant::train || graph.variant == Variant::train_first; }
inline bool is_pending(const Graph& graph) {
  return graph.variant == Variant::train || graph.variant == Variant::validate_pending || graph.variant == Variant::finish_pending;
}

inline bool computes(const Graph& graph) {
  return is_training(graph) || graph.variant == Variant::validate || graph.variant == Variant::validate_pending;
}

// What `next` calls resource r is, in the names of the graph before it, renamed(map, previous, r).
inline int renamed(const Map& map, const Graph& previous, int resource) {
  if (!map.is_buffer(resource)) return resource;
  const int pool = map.buffers[static_cast<std::size_t>(resource)].pool;
  if (pool < 0) return resource;
  const int first = map.pools[static_cast<std::size_t>(pool)].first_buffer;
  return first + previous.end_order[static_cast<std::size_t>(pool)][static_cast<std::size_t>(resource - first)];
}

class Reporter {
 public:
  void operator()(std::string finding) {
    if (findings_.size() < kMostFindings) findings_.push_back(std::move(finding));
  }
  [[nodiscard]] bool full() const { return findings_.size() >= kMostFindings; }
  Findings take() { return std::move(findings_); }

 private:
  Findings findings_;
};

}  // namespace gsnake::audit
