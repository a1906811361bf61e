#include "cuda/device/check.h"

#include <fmt/format.h>

#include "greedysnake/error.h"

namespace gsnake::cuda {

void check(cudaError_t code, const std::string& device, const char* call) {
  if (code == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // it is told now, and not by whoever calls next; a context that is broken stays so
  throw Error(ErrorKind::device, fmt::format("{}: {} failed: {} ({}); the run goes on from its last commit with `gsnake train`; if it comes again, look for the "
                                             "driver's own word in the kernel's log (dmesg, NVRM)",
                                             device, call, cudaGetErrorString(code), cudaGetErrorName(code)));
}

}  // namespace gsnake::cuda
