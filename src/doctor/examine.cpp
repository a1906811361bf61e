#include "doctor/examine.h"

#include <exception>
#include <functional>
#include <iterator>
#include <new>
#include <thread>

#include "core/cgroup.h"
#include "core/log.h"
#include "device/cuda_plugin.h"
#include "doctor/checks.h"

namespace gsnake::doctor {
namespace {

// What the modules warn of while they are tried is a finding, and not said twice.
class QuietLog {
 public:
  QuietLog() : before_(spdlog::get_level()) {
    if (before_ == spdlog::level::info || before_ == spdlog::level::warn) spdlog::set_level(spdlog::level::err);
  }
  ~QuietLog() { spdlog::set_level(before_); }
  QuietLog(const QuietLog&) = delete;
  QuietLog& operator=(const QuietLog&) = delete;

 private:
  spdlog::level::level_enum before_;
};

class Report {
 public:
  // One finding, or several of which the first has the id `id`.
  void add(const char* id, const std::function<Findings()>& examine) {
    try {
      Findings found = examine();
      std::move(found.begin(), found.end(), std::back_inserter(findings_));
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      findings_.push_back({id, Status::unknown, error.what()});
    }
  }
  void add_one(const char* id, const std::function<Finding()>& examine) {
    add(id, [&] { return Findings{examine()}; });
  }
  Findings take() { return std::move(findings_); }

 private:
  Findings findings_;
};

}  // namespace

Findings examine(const std::vector<std::string>& folders) {
  const QuietLog quiet;
  const core::CgroupLimits limits = core::read_cgroup_limits();
  Report report;
  report.add_one("processor", examine_processor);
  report.add_one("cpu_limit", [&] { return examine_cpu_limit(limits, std::thread::hardware_concurrency()); });
  report.add_one("numa", examine_numa);
  report.add_one("openmp", examine_openmp);
  report.add_one("memory", [] { return examine_memory(""); });
  report.add_one("memory_limit", [&] { return examine_memory_limit(limits, ""); });
  report.add_one("huge_pages", [] { return examine_huge_pages(""); });
  report.add_one("locked_memory", [] { return examine_locked_memory(""); });
  report.add_one("io_uring", [] { return examine_io_uring(""); });
  report.add_one("registered_buffers", examine_registered_buffers);
  for (const std::string& folder : folders) {
    report.add("folder", [&] { return examine_folder(folder); });
  }
  report.add("shared_drive", [&] { return examine_shared_drives(folders); });
  report.add("driver", [] { return examine_cuda(device::probe_cuda(device::FreeMemory::of_all()), core::Topology::machine()); });
  report.add_one("gpu_direct_storage", examine_gpu_direct_storage);
  return report.take();
}

}  // namespace gsnake::doctor
