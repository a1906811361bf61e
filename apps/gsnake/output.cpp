#include "output.h"

#include <cerrno>
#include <cstdio>

#include "core/errors.h"

namespace gsnake::command {

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return;
  if (errno == EPIPE) throw ReaderGone();
  core::throw_storage("write the result to", "stdout", core::errno_code(), "send it to a file or a program that takes it");
}

}  // namespace gsnake::command
