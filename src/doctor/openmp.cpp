#include <cstdlib>
#include <string>
#include <strings.h>

#include "doctor/checks.h"

namespace gsnake::doctor {

// As `gsnake train` decides it before it starts over (apps/gsnake/openmp.cpp).
Finding examine_openmp() {
  const char* policy = std::getenv("OMP_WAIT_POLICY");
  const char* spins = std::getenv("GOMP_SPINCOUNT");
  if (policy == nullptr && spins == nullptr) return {"openmp", Status::ok, "gsnake has compute threads sleep while they wait; nothing is set against it"};
  const std::string set = policy != nullptr ? std::string("OMP_WAIT_POLICY=") + policy : std::string("GOMP_SPINCOUNT=") + spins;
  const bool sleeps = spins != nullptr ? std::string(spins) == "0" : ::strcasecmp(policy, "passive") == 0;
  if (sleeps) return {"openmp", Status::ok, set + ": compute threads sleep while they wait"};
  return {"openmp", Status::warn, set + ": compute threads spin while they wait, and take the cores from the optimizer and I/O", "unset it, or set OMP_WAIT_POLICY=passive"};
}

}  // namespace gsnake::doctor
