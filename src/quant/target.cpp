#include "quant/target.h"

#include "quant/kernels.h"

namespace gsnake::quant {

const Kernels& kernels() { return tables().chosen(); }

std::vector<std::string> supported_targets() { return tables().names(); }

void force_target(const std::string& name) { tables().force(name); }

}  // namespace gsnake::quant
