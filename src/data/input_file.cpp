#include "data/input_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "greedysnake/error.h"
#include "io/interrupted.h"

namespace gsnake::data {

namespace {

[[noreturn]] void refuse_errno(const std::string& path, const std::string& remedy) {
  const std::error_code code(errno, std::system_category());
  refuse(path, fmt::format("{}; {}", code.message(), remedy), code);
}

}  // namespace

void refuse(const std::string& path, const std::string& why, std::error_code code) {
  throw Error(ErrorKind::input, fmt::format("cannot read tokens from {}: {}", path, why), code);
}

InputFile::InputFile(std::string path, Access access) : path_(std::move(path)) {
  // O_NONBLOCK: opening a FIFO must not wait for its writer; regular files do not heed it.
  fd_ = core::UniqueFd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd_) refuse_errno(path_, "check the path in data.train or data.validation");
  struct stat info {};
  if (::fstat(fd_.get(), &info) != 0) refuse_errno(path_, "check the file and its drive");
  if (!S_ISREG(info.st_mode)) refuse(path_, "it is not a regular file; name a file of text or tokens");
  size_ = info.st_size;
  // Advice only: where it is not taken, reads are right all the same.
  static_cast<void>(::posix_fadvise(fd_.get(), 0, 0, access == Access::random ? POSIX_FADV_RANDOM : POSIX_FADV_SEQUENTIAL));
}

void InputFile::read(std::int64_t offset, std::span<std::uint8_t> out) const {
  while (!out.empty()) {
    const auto got = io::retry_interrupted([&] { return ::pread(fd_.get(), out.data(), out.size(), offset); });
    if (got < 0) refuse_errno(path_, fmt::format("reading {} B at offset {} failed; check the file and its drive", out.size(), offset));
    if (got == 0) refuse(path_, fmt::format("it ends at offset {}, sooner than when it was opened; do not change it during a run", offset));
    offset += got;
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

std::int64_t byte_order_mark(const InputFile& file) {
  constexpr std::array<std::uint8_t, 3> kMark{0xef, 0xbb, 0xbf};
  std::array<std::uint8_t, kMark.size()> head{};
  if (file.size() < static_cast<std::int64_t>(head.size())) return 0;
  file.read(0, head);
  return head == kMark ? static_cast<std::int64_t>(head.size()) : 0;
}

std::int64_t little_endian(std::span<const std::uint8_t> bytes, bool is_signed) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) value |= std::uint64_t{bytes[i]} << (8 * i);
  const unsigned unused = 64 - 8 * static_cast<unsigned>(bytes.size());
  return is_signed ? static_cast<std::int64_t>(value << unused) >> unused : static_cast<std::int64_t>(value);
}

}  // namespace gsnake::data
