// What JSON from a file must look like before the page relies on it.
#pragma once

#include <string>

#include "report/files.h"

namespace gsnake::report {

// A shape is "number", "text", "object" or "points" (a list of pairs of numbers); a list of one shape, for a list of such; or an object of
// shapes by key, where the key "*" stands for all keys. Null and absent values fit every shape, but for objects in
// a list; unknown keys are passed over.
// Throws Error(input) that names `file` and the place, which begins with `where`.
void require_shape(const Json& value, const Json& shape, const std::string& file, const std::string& where);

// Shapes of what `gsnake plan --json` and `gsnake simulate --json` print.
[[nodiscard]] const Json& prediction_shape();
[[nodiscard]] const Json& document_shape();

}  // namespace gsnake::report
