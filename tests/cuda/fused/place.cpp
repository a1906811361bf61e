#include "fused/place.h"

#include "fused/on_host.h"
#include "gpu/fake_gpu.h"

namespace gsnake::test {

Place::Place() {
  fake_gpu::install();
  use_host_kernels(1);
}
Place::~Place() { model::set_fused_ops(nullptr); }
const char* Place::why_not() { return nullptr; }
int Place::misuses() { return fake_cuda_reports(); }
const model::FusedOps& Place::ops() const { return cuda::fused_ops(); }

}  // namespace gsnake::test
