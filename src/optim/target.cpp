#include "optim/target.h"

#include "optim/kernels.h"

namespace gsnake::optim {

const Kernels& kernels_for(Target target) { return target == Target::scalar ? tables().scalar() : tables().chosen(); }

std::vector<std::string> supported_targets() { return tables().names(); }

void force_target(const std::string& name) { tables().force(name); }

}  // namespace gsnake::optim
