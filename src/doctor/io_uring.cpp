#include <fmt/format.h>
#include <sys/utsname.h>

#include <memory>

#include "core/bytes.h"
#include "core/proc_file.h"
#include "doctor/checks.h"
#include "greedysnake/error.h"
#include "io/aligned_buffer.h"
#include "io/engine.h"
#include "io/locked_memory.h"

namespace gsnake::doctor {
namespace {

constexpr std::size_t kSampleBytes = std::size_t{64} << 20;  // beyond the limit that most distributions set

std::string kernel() {
  utsname names{};
  return ::uname(&names) == 0 ? fmt::format("{} {}", names.sysname, names.release) : "this kernel";
}

// 2: a filter judges this process's system calls.
bool is_filtered(const std::string& root) { return core::field_of(root + "/proc/self/status", "Seccomp").value_or("") == "2"; }

// The remedy of a refusal, by what else the kernel shows.
std::string remedy_of(const std::error_code& code, const std::string& root) {
  if (code == std::errc::not_enough_memory) return io::memlock_remedy();
  const std::string disabled = core::line_of(root + "/proc/sys/kernel/io_uring_disabled");
  if (code == std::errc::operation_not_permitted && disabled == "2") return "sysctl -w kernel.io_uring_disabled=0 (it is 2: off for everybody)";
  if (code == std::errc::operation_not_permitted && disabled == "1") {
    return "sysctl -w kernel.io_uring_disabled=0 (it is 1: off but for the group kernel.io_uring_group), or join that group";
  }
  if (is_filtered(root)) {
    return "a seccomp filter forbids it, as containers' default profiles do: allow io_uring_setup, io_uring_enter and io_uring_register in the container's "
           "profile (Docker: --security-opt seccomp=PROFILE.json)";
  }
  if (code == std::errc::function_not_supported) return "use Linux 5.6 or later, built with CONFIG_IO_URING";
  return "see whether a security module (SELinux, AppArmor) forbids it";
}

std::string by_hand(const std::string& reason) { return reason + "; transfers go by threads, which take more CPU time"; }

}  // namespace

Finding examine_io_uring(const std::string& root) {
  try {
    const auto engine = io::make_uring_engine({});
    return {"io_uring", Status::ok, fmt::format("a ring for {} transfers was set up on {}", engine->capacity(), kernel()), {}, {{"capacity", engine->capacity()}}};
  } catch (const Error& error) {
    return {"io_uring", Status::lack, by_hand(fmt::format("{} refuses it: {}", kernel(), error.code().message())), remedy_of(error.code(), root)};
  }
}

Finding examine_registered_buffers() {
  Finding finding{"registered_buffers", Status::lack, "no io_uring to register them with", "as of io_uring"};
  std::unique_ptr<io::IoEngine> engine;
  try {
    engine = io::make_uring_engine({});
  } catch (const Error&) {
    return finding;
  }
  io::AlignedBuffer sample(kSampleBytes);
  const io::RegistrationReport report = engine->register_buffer({sample.data(), sample.size()});
  finding.status = report.ok ? Status::ok : Status::warn;
  finding.seen = report.ok ? fmt::format("{} were registered as a trial", core::format_bytes(kSampleBytes)) : io::describe(report);
  finding.remedy.clear();
  if (!report.ok) finding.remedy = report.error == std::errc::not_enough_memory ? io::memlock_remedy() : "none is needed: transfers work all the same, at some CPU time each";
  return finding;
}

}  // namespace gsnake::doctor
