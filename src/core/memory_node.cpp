#include "core/memory_node.h"

#include <fmt/format.h>

#include <fstream>

namespace gsnake::core {

// The kernel's folders have small letters; CUDA's numbers have capital ones.
int memory_node_of(std::string pci_bus_id, const std::string& root) {
  for (char& c : pci_bus_id) {
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  }
  std::ifstream file(root + "/sys/bus/pci/devices/" + pci_bus_id + "/numa_node");
  int node = -1;
  file >> node;
  return file ? node : -1;
}

NearNode near_node(const Topology& machine, int node) {
  if (machine.nodes() < 2) return {};
  if (node < 0) return {-1, {}, "the kernel does not say which of them it is at"};
  Cpus cpus = machine.cpus_of_node(static_cast<unsigned>(node));
  if (cpus.empty()) return {-1, {}, fmt::format("it is at node {}, which this process may not use", node)};
  return {node, std::move(cpus), {}};
}

}  // namespace gsnake::core
