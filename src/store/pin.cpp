#include "store/pin.h"

#include <fcntl.h>
#include <sys/file.h>

#include "core/errors.h"
#include "store/retry.h"

namespace gsnake::store {
namespace {

[[noreturn]] void fail(const char* operation, const std::string& path) {
  core::throw_storage(operation, path, core::errno_code(), "check the folder and that its file system has locks (flock)");
}

}  // namespace

std::optional<Pin> Pin::share(const std::string& run_dir) {
  std::string path = run_dir + "/" + kPinName;
  core::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) fd = core::UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && (errno == ENOENT || errno == EROFS || errno == EACCES)) return std::nullopt;
  if (!fd) fail("open", path);
  if (retrying([&] { return ::flock(fd.get(), LOCK_SH); }) != 0) fail("lock", path);
  return Pin(std::move(fd), std::move(path));
}

Pin Pin::open(const std::string& run_dir) {
  std::string path = run_dir + "/" + kPinName;
  core::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) fail("open", path);
  return Pin(std::move(fd), std::move(path));
}

bool Pin::try_exclude_readers() {
  if (retrying([&] { return ::flock(fd_.get(), LOCK_EX | LOCK_NB); }) == 0) return true;
  if (errno != EWOULDBLOCK) fail("lock", path_);
  return false;
}

void Pin::admit_readers() noexcept { ::flock(fd_.get(), LOCK_UN); }

}  // namespace gsnake::store
