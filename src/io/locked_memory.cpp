#include "io/locked_memory.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <limits>
#include <thread>

#include "core/bytes.h"
#include "greedysnake/error.h"

namespace gsnake::io {
namespace {

constexpr unsigned kLeastDepth = 8;  // less spares no page of a ring
constexpr int kRounds = 6;
constexpr std::chrono::milliseconds kPause{20};

// Null where the kernel had no memory for it; `refusal` says so.
std::unique_ptr<IoEngine> try_depth(unsigned depth, const std::function<std::unique_ptr<IoEngine>(unsigned)>& make,
                                    std::exception_ptr& refusal) {
  try {
    return make(depth);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::storage || error.code() != std::errc::not_enough_memory) throw;
    refusal = std::current_exception();
    return nullptr;
  }
}

}  // namespace

std::uint64_t memlock_limit() noexcept {
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::numeric_limits<std::uint64_t>::max();
  return limit.rlim_cur;
}

std::string memlock_remedy() {
  return fmt::format("raise the limit of locked memory (ulimit -l), which is {} for all processes of this user together",
                     core::format_bytes(memlock_limit()));
}

std::unique_ptr<IoEngine> make_within_locked_memory(unsigned depth, const std::function<std::unique_ptr<IoEngine>(unsigned)>& make) {
  std::exception_ptr refusal;
  for (int round = 0; round < kRounds; ++round) {
    if (round > 0) std::this_thread::sleep_for(kPause);
    for (unsigned smaller = depth; smaller == depth || smaller >= kLeastDepth; smaller /= 2) {
      std::unique_ptr<IoEngine> engine = try_depth(smaller, make, refusal);
      if (!engine) continue;
      if (smaller < depth) {
        spdlog::warn("io_uring: too little memory may be locked for {} transfers at once; using {} ({})", depth, smaller, memlock_remedy());
      }
      return engine;
    }
  }
  std::rethrow_exception(refusal);
}

}  // namespace gsnake::io
