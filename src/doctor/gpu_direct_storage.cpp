#include "doctor/checks.h"
#include "io/cufile.h"

namespace gsnake::doctor {

Finding examine_gpu_direct_storage() {
  const io::CuFileStatus status = io::cufile_status();
  Finding finding{"gpu_direct_storage", Status::ok, io::describe(status), status.remedy, {{"library", status.library}, {"compatibility_mode", status.compatibility_mode}}};
  if (!status.available) {
    finding.status = Status::lack;
    finding.seen = status.reason;
  } else if (status.compatibility_mode) {
    finding.status = Status::warn;
  }
  return finding;
}

}  // namespace gsnake::doctor
