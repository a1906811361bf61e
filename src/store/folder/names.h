// What the files of a run are called in its folders.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "store/layout/layout.h"

namespace gsnake::store {

// Files that hold nothing by which they could be told from somebody's own have names that nobody else gives. A run keeps the names that it
// was made with: runs of earlier versions have none before "weights.bin".
struct FileNames {
  std::string prefix = "gsnake-";

  [[nodiscard]] std::string of(Kind kind) const { return prefix + name_of(kind) + ".bin"; }
  [[nodiscard]] std::string pin() const { return prefix + "pin"; }
};

inline constexpr const char* kNamesKey = "file_prefix";  // of a manifest's `storage`
inline const FileNames kEarlierNames{""};

// Those of the run that a manifest's `storage` describes. Throws nlohmann::json::exception.
[[nodiscard]] FileNames names_from(const nlohmann::json& storage);

}  // namespace gsnake::store
