// Whether a file can be used with O_DIRECT, found out by trying.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace gsnake::io {

struct DirectIoProbe {
  bool direct = false;
  std::size_t alignment = 1;  // bytes, of offset, length and memory address
  std::string reason;         // why it is not direct
};

enum class ProbeWrites : std::uint8_t { allowed, forbidden };

// Sets O_DIRECT on the descriptor of a regular file and leaves it set if a block can be transferred; else clears it. With writes allowed
// the first block is overwritten with zeros: for files just made. An empty file is judged by the flag alone.
DirectIoProbe probe_direct_io(int fd, std::uint64_t size_bytes, ProbeWrites writes);

}  // namespace gsnake::io
