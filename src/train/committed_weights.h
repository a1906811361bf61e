// What is committed of a session's weights.
#pragma once

#include <cstdint>
#include <vector>

#include "train/session.h"

namespace gsnake::train {

// Unit `unit`'s parameters, of all ranks' parts, as Trainer::weights() has them. Reads from SSD. Throws Error(storage).
std::vector<float> committed_weights(const Session& session, std::int64_t unit);

}  // namespace gsnake::train
