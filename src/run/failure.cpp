#include "run/failure.h"

#include <exception>
#include <new>

#include "greedysnake/error.h"

namespace gsnake::run {
namespace {

constexpr int kUnexpected = 1;

// LibTorch's messages go on with a backtrace.
std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

Failure current_failure() {
  try {
    throw;
  } catch (const Error& error) {
    return {error.exit_status(), error.what()};
  } catch (const std::bad_alloc&) {
    return {static_cast<int>(ErrorKind::budget),
            "cannot allocate memory beside the budgets: the system has none left; free some, or lower memory.host_budget"};
  } catch (const std::exception& error) {
    return {kUnexpected, "unexpected failure: " + first_line(error.what()) + "; this is a bug, please report it"};
  } catch (...) {
    return {kUnexpected, "unexpected failure of an unknown kind; this is a bug, please report it"};
  }
}

}  // namespace gsnake::run
