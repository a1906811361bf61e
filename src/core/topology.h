// The machine's cores and memory nodes (hwloc), and which cores the lanes' threads may keep to.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

struct hwloc_topology;

namespace gsnake::core {

// Logical processors, as the kernel numbers them.
using Cpus = std::vector<unsigned>;

// Cores apart: no hardware thread of a core is in two of the sets.
struct CoreSplit {
  Cpus compute;                 // for all of the compute lane's threads
  std::vector<Cpus> optimizer;  // one core for each of the optimizer's threads
};

// Immutable, so thread-safe.
class Topology {
 public:
  // What this process may use of this machine (affinity and cgroup). Loaded at the first call.
  static const Topology& machine();
  // For tests: a machine as hwloc describes one, "node:2 core:4 pu:2". Throws std::runtime_error.
  explicit Topology(const std::string& synthetic);
  ~Topology();
  Topology(const Topology&) = delete;
  Topology& operator=(const Topology&) = delete;

  [[nodiscard]] unsigned cores() const noexcept { return static_cast<unsigned>(cores_.size()); }
  [[nodiscard]] unsigned nodes() const noexcept { return nodes_; }

  // The optimizer's cores are spread evenly over the memory nodes, and are the last ones of each; compute has all the others, at least as
  // many as it has threads. Nothing where there are not enough cores.
  [[nodiscard]] std::optional<CoreSplit> split(unsigned compute_threads, unsigned optimizer_threads) const;

  // Spreads pages that were not yet touched evenly over the memory nodes: the optimizer's threads, one thread's copies and the drives then
  // share the bandwidth of all of them, whoever touches a page first. Does nothing on one node; a kernel that refuses leaves a line in the
  // debug log.
  void interleave(std::byte* data, std::size_t bytes) const noexcept;

  // The processors beside a memory node, by the kernel's number of it. Empty: the process may use no such node, or none of its processors.
  [[nodiscard]] Cpus cpus_of_node(unsigned number) const;
  // Has pages that were not yet touched come from that node as long as it has any free, and then from others: no process ends for want of one
  // node's memory. Why it was refused, after which nothing has changed.
  [[nodiscard]] std::error_code bind(std::byte* data, std::size_t bytes, unsigned number) const noexcept;

 private:
  struct Core {
    unsigned node = 0;  // its rank among the nodes
    Cpus cpus;
  };
  Topology();
  void load();

  std::unique_ptr<hwloc_topology, void (*)(hwloc_topology*)> topology_;
  std::vector<Core> cores_;             // by node
  std::vector<unsigned> memory_nodes_;  // those that have processors, as the kernel numbers them
  unsigned nodes_ = 1;
};

// Keeps the calling thread, and those that it starts from now on, to these processors; empty: leaves it. What is refused changes nothing,
// and leaves a line in the debug log.
void keep_to(const Cpus& cpus) noexcept;

// Keeps the calling thread to these processors as long as this lives, and the threads that it starts meanwhile for as long as they do; empty: leaves
// it. For one scope of one thread.
class KeptTo {
 public:
  explicit KeptTo(const Cpus& cpus);
  ~KeptTo() { keep_to(before_); }
  KeptTo(const KeptTo&) = delete;
  KeptTo& operator=(const KeptTo&) = delete;

 private:
  Cpus before_;  // empty: the thread was left
};

}  // namespace gsnake::core
