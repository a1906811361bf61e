#include <fmt/format.h>
#include <linux/capability.h>

#include <cstdlib>
#include <limits>

#include "core/bytes.h"
#include "core/proc_file.h"
#include "doctor/checks.h"
#include "io/locked_memory.h"

namespace gsnake::doctor {
namespace {

constexpr std::uint64_t kEnough = std::uint64_t{1} << 30;  // below it hardly an arena fits

bool may_lock_all(const std::string& root) {
  const std::string capabilities = core::field_of(root + "/proc/self/status", "CapEff").value_or("0");
  return ((std::strtoull(capabilities.c_str(), nullptr, 16) >> CAP_IPC_LOCK) & 1U) != 0;
}

}  // namespace

Finding examine_locked_memory(const std::string& root) {
  const std::uint64_t limit = io::memlock_limit();
  Finding finding{"locked_memory", Status::ok, "no limit"};
  if (limit == std::numeric_limits<std::uint64_t>::max()) return finding;
  finding.detail = {{"limit_bytes", limit}, {"exempt", may_lock_all(root)}};
  finding.seen = fmt::format("{} for all processes of this user together (RLIMIT_MEMLOCK)", core::format_bytes(limit));
  if (may_lock_all(root)) {
    finding.seen += "; CAP_IPC_LOCK exempts this one";
    return finding;
  }
  if (limit >= kEnough) return finding;
  finding.status = Status::warn;
  finding.seen += ": too little to register arenas with io_uring, which then pins them at each transfer";
  finding.remedy = "ulimit -l unlimited (for good: \"* - memlock unlimited\" in /etc/security/limits.conf); in a container --ulimit memlock=-1";
  return finding;
}

}  // namespace gsnake::doctor
