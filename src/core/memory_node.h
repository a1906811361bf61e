// Memory nodes beside devices.
#pragma once

#include <string>

#include "core/topology.h"

namespace gsnake::core {

// That a PCI device, "0000:65:00.0", is attached to, as the kernel numbers nodes; -1 where it does not say. `root` stands before /sys, for tests.
int memory_node_of(std::string pci_bus_id, const std::string& root = "");

// Where the host memory of a device's copies, and the threads that serve it, are to be kept.
struct NearNode {
  int number = -1;     // as the kernel numbers nodes; -1: nowhere in particular
  Cpus cpus;           // beside it, of those that this process may use
  std::string reason;  // of several nodes, why it is none; empty where there are not several
};

// node: what memory_node_of() says of the device.
NearNode near_node(const Topology& machine, int node);

}  // namespace gsnake::core
