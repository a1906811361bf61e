// What a file that someone named is instead of what was wanted.
#pragma once

#include <string>
#include <string_view>

namespace gsnake::core {

// By its first bytes: "it is a Git LFS pointer, ...; what to do". Empty where they say nothing of the kind.
[[nodiscard]] std::string_view other_kind(std::string_view begin) noexcept;

// Where a link that leads nowhere should lead; empty for anything else.
[[nodiscard]] std::string lost_target(const std::string& path);

}  // namespace gsnake::core
