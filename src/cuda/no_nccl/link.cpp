// Where there are no headers of NCCL.
#include "cuda/nccl/link.h"

#include <fmt/format.h>

#include "greedysnake/error.h"

namespace gsnake::cuda {

std::unique_ptr<dist::DeviceLink> make_link(int ordinal, const dist::DeviceLinkParts&) {
  throw Error(ErrorKind::usage, fmt::format("memory.device = \"cuda:{}\": this build has no NCCL, which ranks on GPUs need; install its headers (nccl.h) and build again, or start one rank", ordinal));
}

}  // namespace gsnake::cuda
