#include "hf/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>

#include "core/errors.h"
#include "core/unique_fd.h"
#include "hf/refusal.h"

namespace gsnake::hf {
namespace {

constexpr std::uint64_t kPage = 4096;

[[noreturn]] void fail(const std::string& path) {
  const std::error_code code = core::errno_code();
  throw Error(ErrorKind::input, fmt::format("cannot read {}: {}; check the path", path, code.message()), code);
}

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const core::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0) fail(path);
  if (!S_ISREG(status.st_mode)) refuse(path, "it is no file");
  bytes_ = static_cast<std::uint64_t>(status.st_size);
  if (bytes_ == 0) return;
  void* mapped = ::mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (mapped == MAP_FAILED) fail(path);
  data_ = static_cast<const std::byte*>(mapped);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), bytes_);
}

void MappedFile::advise(std::uint64_t offset, std::uint64_t size, int advice) const noexcept {
  const std::uint64_t begin = offset / kPage * kPage;
  const std::uint64_t end = std::min(bytes_, offset + size);
  if (begin < end) static_cast<void>(::madvise(const_cast<std::byte*>(data_) + begin, end - begin, advice));
}

void MappedFile::will_need(std::uint64_t offset, std::uint64_t size) const noexcept { advise(offset, size, MADV_WILLNEED); }
void MappedFile::done_with(std::uint64_t offset, std::uint64_t size) const noexcept { advise(offset, size, MADV_DONTNEED); }

}  // namespace gsnake::hf
