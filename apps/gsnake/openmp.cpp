#include "openmp.h"

#include <unistd.h>

#include <cstdlib>

namespace gsnake::command {

void make_openmp_passive(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  if (::setenv("OMP_WAIT_POLICY", "passive", 1) != 0 || ::setenv("GOMP_SPINCOUNT", "0", 1) != 0) return;
  ::execv("/proc/self/exe", argv);
}

}  // namespace gsnake::command
