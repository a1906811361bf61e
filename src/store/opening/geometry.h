// What a manifest says of the storage, checked; and which folder is which of the run's paths.
#pragma once

#include <string>
#include <vector>

#include "store/manifest/copies.h"
#include "store/state.h"

namespace gsnake::store {

struct Geometry {
  Layout layout;  // of state
  std::vector<double> stripe_weights;
  std::vector<std::string> paths;  // as they were called when it was written
};

// Throws Error(storage) that names run_dir.
Geometry parse_geometry(const Manifest& manifest, const std::string& run_dir);

// The folders `given` in the run's order: each is known by its own copy of the manifest, else by its name, else because one is left; without
// any copy, only if a file of state lies there. `state` has the run's layout. Throws Error(storage): a path that is missing, with what it
// held; a folder that is none of the run's.
std::vector<std::string> match_paths(const StoreState& state, const Manifest& manifest, const Geometry& geometry,
                                     const std::vector<std::string>& given, const std::vector<Copy>& copies);

}  // namespace gsnake::store
