#include "measure/test_files.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "core/bytes.h"
#include "io/directories.h"
#include "io/engine.h"

namespace gsnake::measure {

void fill_with_noise(std::span<std::byte> memory) noexcept {
  std::uint64_t state = 0x9E3779B97F4A7C15ULL;
  for (std::size_t i = 0; i < memory.size(); i += sizeof(state)) {
    state ^= state << 13U;
    state ^= state >> 7U;
    state ^= state << 17U;
    std::memcpy(memory.data() + i, &state, std::min(sizeof(state), memory.size() - i));
  }
}

TestFiles::TestFiles(const std::vector<std::string>& directories, unsigned per_directory, std::uint64_t total_bytes, io::DirectIo direct)
    : TestFiles(core::round_up(core::ceil_div(total_bytes, directories.size() * per_directory), kTestFileMultiple)) {
  io::AlignedBuffer content(kTestFileMultiple);
  fill_with_noise(content.span());
  for (unsigned i = 0; i < per_directory; ++i) {
    for (const std::string& directory : directories) add(directory, direct, content);
  }
}

void TestFiles::add(const std::string& directory, io::DirectIo direct, io::AlignedBuffer& content) {
  const io::File& file = files_.emplace_back(io::make_nameless_file(directory, file_bytes_, direct));
  const auto engine = io::make_thread_engine({});
  engine->add_file(file);
  for (std::uint64_t offset = 0; offset < file_bytes_; offset += kTestFileMultiple) {
    io::transfer(*engine, file,
                 {.op = io::Direction::write, .file = 0, .offset = offset, .data = content.data(), .size = kTestFileMultiple});
  }
  file.sync_data();
}

bool TestFiles::direct() const noexcept { return std::ranges::all_of(files_, &io::File::direct); }

std::string TestFiles::buffered_reason() const {
  const auto buffered = std::ranges::find_if_not(files_, &io::File::direct);
  return buffered == files_.end() ? "" : buffered->buffered_reason();
}

void TestFiles::drop_cache() const {
  for (const io::File& file : files_) {
    if (file.direct()) continue;
    file.sync_data();
    static_cast<void>(::posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED));
  }
}

}  // namespace gsnake::measure
