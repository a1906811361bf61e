// A folder that someone names as a Hugging Face one: what is there, and what it is instead where it is no model's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gsnake::hf {

// A file, perhaps through links. A link that leads nowhere is none.
[[nodiscard]] bool is_file(const std::string& path);

// " is missing", or what leads nowhere where a link should lead to it.
[[nodiscard]] std::string absence(const std::string& path);

// Names of files and links in the folder, sorted.
[[nodiscard]] std::vector<std::string> names_in(const std::string& folder);

// For a folder that `name` could not be read from. Throws Error(input) where it sees why: the folder is absent, a file, a link that leads
// nowhere, empty, the top of a cache, an adapter's, of another format; or the model lies in a folder inside it. Else it returns.
void explain_absence(const std::string& folder, const char* name);

// An adapter changes what the model computes: Error(input).
void refuse_adapter(const std::string& folder);

// Throws Error(input) where a file's first bytes say that it is something else: a Git LFS pointer, a web page, an archive, GGUF.
void refuse_other_kind(const std::string& path, std::string_view begin);

// "a, b, c and 4 more".
[[nodiscard]] std::string listed(const std::vector<std::string>& names, std::size_t most = 6);

}  // namespace gsnake::hf
