#include <fmt/format.h>

#include <cmath>
#include <thread>

#include "core/proc_file.h"
#include "core/topology.h"
#include "doctor/checks.h"
#include "optim/target.h"
#include "plan/compute_dtype.h"

namespace gsnake::doctor {

Finding examine_processor() {
  const unsigned usable = std::thread::hardware_concurrency();
  const std::string simd = optim::supported_targets().front();
  const bool bf16 = plan::cpu_has_bf16_units();
  const std::string model = core::field_of("/proc/cpuinfo", "model name").value_or("a CPU that the kernel does not name");
  Finding finding{"processor", Status::ok, {}, {}, {{"model", model}, {"usable", usable}, {"simd", simd}, {"bf16_units", bf16}}};
  finding.seen = fmt::format("{}, {} usable; the optimizer runs on {}; {}", model, usable, simd,
                             bf16 ? "bf16 is computed in bf16" : "no bf16 units, so bf16 is computed in fp32");
  if (simd == "scalar") {
    finding.status = Status::warn;
    finding.remedy = "train on a CPU with AVX2 or better: the optimizer has no other vector code for this one";
  }
  return finding;
}

Finding examine_cpu_limit(const core::CgroupLimits& limits, unsigned usable) {
  Finding finding{"cpu_limit", Status::ok, "no cgroup limits processor time"};
  if (!limits.processors) return finding;
  finding.detail = {{"processors", *limits.processors}, {"file", limits.processors_file}};
  finding.seen = fmt::format("a cgroup gives the time of {:.2f} processors, of {} usable ({})", *limits.processors, usable, limits.processors_file);
  if (*limits.processors >= static_cast<double>(usable)) return finding;
  finding.status = Status::warn;
  finding.remedy = fmt::format("set train.compute_threads = {}, or raise the limit: more threads than that are stopped in turns",
                               static_cast<int>(std::max(1.0, std::floor(*limits.processors))));
  return finding;
}

Finding examine_numa() {
  const core::Topology& machine = core::Topology::machine();
  const std::string nodes = machine.nodes() == 1 ? "one memory node" : fmt::format("{} memory nodes, over which arenas are spread where no GPU is at one", machine.nodes());
  return {"numa", Status::ok, fmt::format("{}, {} cores", nodes, machine.cores()), {}, {{"nodes", machine.nodes()}, {"cores", machine.cores()}}};
}

}  // namespace gsnake::doctor
