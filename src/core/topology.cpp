#include "core/topology.h"

#include <hwloc.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>

#include "core/errors.h"
#include "core/log.h"

namespace gsnake::core {
namespace {

constexpr std::size_t kMostProcessors = 16384;  // beyond every kernel's

using NodeSet = std::unique_ptr<hwloc_bitmap_s, void (*)(hwloc_bitmap_t)>;

NodeSet no_nodes() { return {hwloc_bitmap_alloc(), hwloc_bitmap_free}; }

// That the calling thread may run on; empty where that can't be read.
Cpus processors_of_thread() {
  Cpus cpus;
  std::vector<cpu_set_t> sets(kMostProcessors / CPU_SETSIZE);
  const std::size_t size = sets.size() * sizeof(cpu_set_t);
  if (pthread_getaffinity_np(pthread_self(), size, sets.data()) != 0) return cpus;
  for (unsigned cpu = 0; cpu < kMostProcessors; ++cpu) {
    if (CPU_ISSET_S(cpu, size, sets.data())) cpus.push_back(cpu);
  }
  return cpus;
}

// Memory without processors of its own (of a GPU; fast beside a package's, or slow behind it, which hwloc gives the processors near it) is no home for slots: of what is near the same
// processors the first counts, and what fewer are near before what more are.
std::vector<hwloc_obj_t> homes(hwloc_topology_t topology) {
  std::vector<hwloc_obj_t> memories;
  for (hwloc_obj_t node = nullptr; (node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) != nullptr;) memories.push_back(node);
  std::stable_sort(memories.begin(), memories.end(), [](hwloc_obj_t a, hwloc_obj_t b) { return hwloc_bitmap_weight(a->cpuset) < hwloc_bitmap_weight(b->cpuset); });
  const NodeSet covered = no_nodes();
  if (covered == nullptr) throw std::runtime_error("hwloc has no memory");
  std::vector<hwloc_obj_t> homes;
  for (const hwloc_obj_t memory : memories) {
    if (hwloc_bitmap_isincluded(memory->cpuset, covered.get()) != 0) continue;
    hwloc_bitmap_or(covered.get(), covered.get(), memory->cpuset);
    homes.push_back(memory);
  }
  return homes;
}

hwloc_topology* made() {
  hwloc_topology_t topology = nullptr;
  if (hwloc_topology_init(&topology) != 0) throw std::runtime_error("hwloc can't start");
  return topology;
}

}  // namespace

const Topology& Topology::machine() {
  static const Topology topology;
  return topology;
}

// Placement is advice: what hwloc can't read is no reason not to train.
Topology::Topology() : topology_(made(), hwloc_topology_destroy) {
  hwloc_topology_set_flags(topology_.get(), HWLOC_TOPOLOGY_FLAG_RESTRICT_TO_CPUBINDING | HWLOC_TOPOLOGY_FLAG_RESTRICT_TO_MEMBINDING);
  try {
    load();
  } catch (const std::runtime_error& error) {
    spdlog::warn("{}; threads and memory are left where the kernel puts them", error.what());
  }
}

Topology::Topology(const std::string& synthetic) : topology_(made(), hwloc_topology_destroy) {
  if (hwloc_topology_set_synthetic(topology_.get(), synthetic.c_str()) != 0) {
    throw std::runtime_error("hwloc does not understand \"" + synthetic + "\"");
  }
  load();
}

Topology::~Topology() = default;

void Topology::load() {
  hwloc_topology_t topology = topology_.get();
  if (hwloc_topology_load(topology) != 0) throw std::runtime_error("hwloc can't read the machine's topology");
  const std::vector<hwloc_obj_t> memories = homes(topology);
  nodes_ = std::max(1U, static_cast<unsigned>(memories.size()));
  for (const hwloc_obj_t memory : memories) memory_nodes_.push_back(memory->os_index);
  // A machine that tells of no cores has processors all the same.
  const hwloc_obj_type_t type = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
  for (hwloc_obj_t object = nullptr; (object = hwloc_get_next_obj_by_type(topology, type, object)) != nullptr;) {
    Core core;
    const auto home = std::find_if(memories.begin(), memories.end(), [&](hwloc_obj_t memory) { return hwloc_bitmap_isincluded(object->cpuset, memory->cpuset) != 0; });
    if (home != memories.end()) core.node = static_cast<unsigned>(home - memories.begin());
    for (int cpu = hwloc_bitmap_first(object->cpuset); cpu >= 0; cpu = hwloc_bitmap_next(object->cpuset, cpu)) {
      core.cpus.push_back(static_cast<unsigned>(cpu));
    }
    if (!core.cpus.empty()) cores_.push_back(std::move(core));
  }
  std::stable_sort(cores_.begin(), cores_.end(), [](const Core& a, const Core& b) { return a.node < b.node; });
}

std::optional<CoreSplit> Topology::split(unsigned compute_threads, unsigned optimizer_threads) const {
  if (optimizer_threads == 0 || compute_threads + optimizer_threads > cores()) return std::nullopt;
  std::vector<Core> left = cores_;
  CoreSplit split;
  for (unsigned node = 0; split.optimizer.size() < optimizer_threads; node = (node + 1) % nodes_) {
    const auto last = std::find_if(left.rbegin(), left.rend(), [&](const Core& core) { return core.node == node; });
    if (last == left.rend()) continue;  // a node without cores, or with none left
    split.optimizer.push_back(std::move(last->cpus));
    left.erase(std::next(last).base());
  }
  for (const Core& core : left) split.compute.insert(split.compute.end(), core.cpus.begin(), core.cpus.end());
  return split;
}

void Topology::interleave(std::byte* data, std::size_t bytes) const noexcept {
  if (nodes_ < 2 || bytes == 0 || hwloc_topology_is_thissystem(topology_.get()) == 0) return;
  const NodeSet set = no_nodes();
  if (set == nullptr) return;
  for (const unsigned node : memory_nodes_) hwloc_bitmap_set(set.get(), node);
  if (hwloc_set_area_membind(topology_.get(), data, bytes, set.get(), HWLOC_MEMBIND_INTERLEAVE, HWLOC_MEMBIND_BYNODESET) != 0) {
    spdlog::debug("memory is not spread over the {} nodes: {}", nodes_, errno_code().message());
  }
}

Cpus Topology::cpus_of_node(unsigned number) const {
  Cpus cpus;
  for (const Core& core : cores_) {
    if (core.node < memory_nodes_.size() && memory_nodes_[core.node] == number) cpus.insert(cpus.end(), core.cpus.begin(), core.cpus.end());
  }
  return cpus;
}

std::error_code Topology::bind(std::byte* data, std::size_t bytes, unsigned number) const noexcept {
  const bool is_known = std::find(memory_nodes_.begin(), memory_nodes_.end(), number) != memory_nodes_.end();
  if (!is_known || hwloc_topology_is_thissystem(topology_.get()) == 0) return std::make_error_code(std::errc::invalid_argument);
  const NodeSet set = no_nodes();
  if (set == nullptr) return std::make_error_code(std::errc::not_enough_memory);
  hwloc_bitmap_only(set.get(), number);
  const int refused = hwloc_set_area_membind(topology_.get(), data, bytes, set.get(), HWLOC_MEMBIND_BIND, HWLOC_MEMBIND_BYNODESET);
  return refused == 0 ? std::error_code() : errno_code();
}

KeptTo::KeptTo(const Cpus& cpus) : before_(cpus.empty() ? Cpus() : processors_of_thread()) {
  if (!before_.empty()) keep_to(cpus);
}

void keep_to(const Cpus& cpus) noexcept {
  if (cpus.empty()) return;
  const unsigned most = *std::max_element(cpus.begin(), cpus.end()) + 1;
  cpu_set_t* set = CPU_ALLOC(most);
  if (set == nullptr) return;
  const std::size_t size = CPU_ALLOC_SIZE(most);
  CPU_ZERO_S(size, set);
  for (const unsigned cpu : cpus) CPU_SET_S(cpu, size, set);
  if (const int error = pthread_setaffinity_np(pthread_self(), size, set); error != 0) {
    spdlog::debug("a thread is not kept to its cores: {}", errno_code(error).message());
  }
  CPU_FREE(set);
}

}  // namespace gsnake::core
