#include "store/folder/pin.h"

#include <fcntl.h>
#include <sys/file.h>

#include <chrono>
#include <thread>

#include "core/errors.h"
#include "core/log.h"
#include "io/interrupted.h"

namespace gsnake::store {
namespace {

[[noreturn]] void fail(const char* operation, const std::string& path) {
  core::throw_storage(operation, path, core::errno_code(), "check the folder and that its file system has locks (flock)");
}

}  // namespace

std::optional<Pin> Pin::share(const std::string& path) {
  std::optional<Pin> pin;
  if (!try_share(path, pin)) {
    spdlog::info("a commit is being replaced (lock {}); waiting until it stands", path);
    if (io::retry_interrupted([&] { return ::flock(pin->fd_.get(), LOCK_SH); }) != 0) fail("lock", path);
  }
  return pin;
}

bool Pin::try_share(const std::string& path, std::optional<Pin>& pin) {
  pin.reset();
  core::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) fd = core::UniqueFd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd && (errno == ENOENT || errno == EROFS || errno == EACCES)) return true;
  if (!fd) fail("open", path);
  pin = Pin(std::move(fd), path);
  if (io::retry_interrupted([&] { return ::flock(pin->fd_.get(), LOCK_SH | LOCK_NB); }) == 0) return true;
  if (errno != EWOULDBLOCK) fail("lock", path);
  return false;
}

Pin Pin::open(const std::string& path) {
  core::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) fail("open", path);
  return Pin(std::move(fd), path);
}

bool Pin::try_exclude_readers() {
  if (io::retry_interrupted([&] { return ::flock(fd_.get(), LOCK_EX | LOCK_NB); }) == 0) return true;
  if (errno != EWOULDBLOCK) fail("lock", path_);
  return false;
}

void Pin::exclude_readers(const std::function<void()>& waiting) {
  constexpr std::chrono::milliseconds kPause{50};
  for (bool told = false; !try_exclude_readers(); told = true) {
    if (!told) spdlog::info("the run that {} is of is being read by another process (generate, export, inspect --verify); waiting for its end", path_);
    if (waiting) waiting();
    std::this_thread::sleep_for(kPause);
  }
}

void Pin::admit_readers() noexcept { ::flock(fd_.get(), LOCK_UN); }

}  // namespace gsnake::store
