// A config's dtypes as LibTorch's.
#pragma once

#include <c10/core/ScalarType.h>

#include "greedysnake/choices.h"

namespace gsnake::backend {

at::ScalarType scalar_type(Dtype dtype);
// The config's word for it; "?" for a dtype that no config has.
const char* dtype_name(at::ScalarType dtype);

}  // namespace gsnake::backend
