// Folders by what they are and not by how they are spelt.
#pragma once

#include <string>

namespace gsnake::store {

// Absolute, links followed as far as the path exists, the rest as it stands; no slash at its end. Throws Error(storage).
[[nodiscard]] std::string resolved(const std::string& path);
// Whether both name one folder; of folders that can't be looked at, whether both are spelt alike.
[[nodiscard]] bool same_folder(const std::string& a, const std::string& b);

}  // namespace gsnake::store
