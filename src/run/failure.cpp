#include "run/failure.h"

#include <exception>
#include <new>
#include <system_error>

#include "core/first_line.h"
#include "greedysnake/error.h"

namespace gsnake::run {
namespace {

constexpr int kUnexpected = 1;

Failure unexpected(const std::string& what) { return {kUnexpected, "unexpected failure: " + core::first_line(what) + "; this is a bug, please report it"}; }

}  // namespace

Failure current_failure() {
  try {
    throw;
  } catch (const Error& error) {
    return {error.exit_status(), error.what()};
  } catch (const std::bad_alloc&) {
    return {static_cast<int>(ErrorKind::budget),
            "cannot allocate memory beside the budgets: the system has none left; free some, or lower memory.host_budget"};
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::resource_unavailable_try_again && error.code() != std::errc::not_enough_memory) return unexpected(error.what());
    return {static_cast<int>(ErrorKind::budget), "cannot start a thread: the system has none left for this user; raise the limit (ulimit -u), or end other processes"};
  } catch (const std::exception& error) {
    return unexpected(error.what());
  } catch (...) {
    return {kUnexpected, "unexpected failure of an unknown kind; this is a bug, please report it"};
  }
}

}  // namespace gsnake::run
