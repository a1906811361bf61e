// Blocking transfers of many pieces at once.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "io/engine.h"

namespace gsnake::store {

// Submits every request, as many at a time as the engine takes, and waits for all. Sets their completions. When some fail, throws
// Error(storage) with the first of them, its offset, length and errno, and `name_of(request)` for the object and the file, after all are
// over.
void transfer_all(io::IoEngine& engine, std::span<io::Request> requests, const std::function<std::string(const io::Request&)>& name_of);

}  // namespace gsnake::store
