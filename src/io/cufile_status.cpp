#include <fmt/format.h>

#include "io/cufile.h"
#include "io/cufile_driver.h"

namespace gsnake::io {

CuFileStatus cufile_status(const CuFileOptions& options) {
  CuFileStatus status;
  try {
    const std::shared_ptr<cufile::Driver> driver = cufile::Driver::open(options.library);
    status.available = true;
    status.library = driver->name();
    status.compatibility_mode = driver->mode().compatibility;
    status.reason = driver->mode().reason;
    status.remedy = driver->mode().remedy;
  } catch (const cufile::Unavailable& why) {
    status.library = cufile::library_of(options.library);
    status.reason = why.reason();
    status.remedy = why.remedy();
  }
  return status;
}

std::string describe(const CuFileStatus& status) {
  if (!status.available) return fmt::format("not available: {}; {}", status.reason, status.remedy);
  if (!status.compatibility_mode) return fmt::format("{}, direct path to the GPU by {}", status.library, status.reason);
  return fmt::format("{}, compatibility mode: data passes through host memory ({}; {})", status.library, status.reason, status.remedy);
}

}  // namespace gsnake::io
