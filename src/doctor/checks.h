// The examinations, a file each. `root` stands before every path below /proc and /sys, for tests.
#pragma once

#include <string>
#include <vector>

#include "core/cgroup.h"
#include "core/topology.h"
#include "device/cuda_plugin.h"
#include "doctor/finding.h"

namespace gsnake::doctor {

Finding examine_processor();
Finding examine_numa();
// `usable` processors by affinity.
Finding examine_cpu_limit(const core::CgroupLimits& limits, unsigned usable);
Finding examine_memory(const std::string& root);
Finding examine_memory_limit(const core::CgroupLimits& limits, const std::string& root);
Finding examine_huge_pages(const std::string& root);
Finding examine_locked_memory(const std::string& root);
Finding examine_openmp();
Finding examine_io_uring(const std::string& root);
Finding examine_registered_buffers();
Finding examine_gpu_direct_storage();
// Driver, plug-in, whether CUDA can be used, and each GPU.
Findings examine_cuda(const device::CudaProbe& probe, const core::Topology& machine);
// File system, O_DIRECT and free space of a folder, or of the nearest one above it that exists.
Findings examine_folder(const std::string& folder);
// Of several folders that lie on one file system.
Findings examine_shared_drives(const std::vector<std::string>& folders);

}  // namespace gsnake::doctor
