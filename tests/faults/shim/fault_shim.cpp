// Preloaded into a process under test, it makes chosen system calls of the C library fail, as GSNAKE_FAULTS says:
//
//   rule[;rule...]      rule = call,path,which,action
//   call    pread, pwrite, write, fsync, fdatasync, rename, link, unlink, ftruncate, fallocate, open (for writing), direct (O_DIRECT is
//           turned on), or any (each of them but pread, pwrite and direct)
//   path    part of the file's path; empty: any
//   which   n: the n-th matching call, from 0; n+: that and all later ones; n%m: those whose number leaves n when divided by m
//   action  an errno's number; short: half of the bytes; zero: none; flip: a bit of what is read or written; kill: SIGKILL before the call,
//           which stderr names; sleep: 100 ms before it; sleepN: N ms
//
// io_uring's transfers are pread's and pwrite's as well: see uring_shim.cpp.
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "rules.h"

namespace {

struct Rule {
  std::string call;
  std::string path;
  long first = 0;
  long modulus = 0;      // 0: see `onwards`
  bool onwards = false;  // all from `first` on
  std::string action;
  std::atomic<long> seen{0};

  [[nodiscard]] bool hits(long number) const {
    if (modulus > 0) return number % modulus == first;
    return onwards ? number >= first : number == first;
  }
};

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::vector<Rule*> parse() {
  std::vector<Rule*> rules;
  const char* text = std::getenv("GSNAKE_FAULTS");
  if (text == nullptr) return rules;
  for (const std::string& one : split(text, ';')) {
    const std::vector<std::string> words = split(one, ',');
    if (words.size() != 4) std::abort();
    auto* rule = new Rule;  // for the life of the process
    rule->call = words[0];
    rule->path = words[1];
    rule->first = std::atol(words[2].c_str());
    rule->onwards = words[2].back() == '+';
    if (const std::size_t percent = words[2].find('%'); percent != std::string::npos) rule->modulus = std::atol(words[2].c_str() + percent + 1);
    rule->action = words[3];
    rules.push_back(rule);
  }
  return rules;
}

}  // namespace

std::string path_of(int fd) {
  char name[64];
  char path[4096];
  std::snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  const ssize_t length = ::readlink(name, path, sizeof path);
  return {path, length < 0 ? 0 : static_cast<std::size_t>(length)};
}

namespace {

[[noreturn]] void die_before(std::string_view call, const std::string& path) {
  ::dprintf(STDERR_FILENO, "\nkilled before: %.*s %s\n", static_cast<int>(call.size()), call.data(), path.c_str());
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

}  // namespace

std::string_view fault(std::string_view call, const std::string& path) {
  static const std::vector<Rule*> rules = parse();
  const bool transfers = call == "pread" || call == "pwrite" || call == "direct";
  for (Rule* rule : rules) {
    if (rule->call != call && (rule->call != "any" || transfers)) continue;
    if (path.find(rule->path) == std::string::npos || !rule->hits(rule->seen.fetch_add(1))) continue;
    if (rule->action == "kill") die_before(call, path);
    if (rule->action.rfind("sleep", 0) == 0) {
      ::usleep(rule->action == "sleep" ? 100'000 : static_cast<useconds_t>(std::atol(rule->action.c_str() + 5) * 1000));
      continue;
    }
    return rule->action;
  }
  return {};
}

namespace {

bool fails(std::string_view action) {
  const int number = std::atoi(std::string(action).c_str());
  if (number <= 0) return false;
  errno = number;
  return true;
}

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

// How much of a transfer is asked for. O_DIRECT takes whole blocks only.
std::size_t shortened(std::string_view action, std::size_t size) { return action == "short" && size >= 8192 ? size / 2 / 4096 * 4096 : size; }

}  // namespace

ssize_t read_under(std::string_view action, int fd, void* data, std::size_t size, off_t offset) {
  static auto* real = next<ssize_t(int, void*, std::size_t, off_t)>("pread64");
  if (fails(action)) return -1;
  if (action == "zero") return 0;
  const ssize_t result = real(fd, data, shortened(action, size), offset);
  if (action == "flip" && result > 0) static_cast<unsigned char*>(data)[result / 2] ^= 16;
  return result;
}

ssize_t write_under(std::string_view action, int fd, const void* data, std::size_t size, off_t offset) {
  static auto* real = next<ssize_t(int, const void*, std::size_t, off_t)>("pwrite64");
  if (fails(action)) return -1;
  if (action == "flip") {
    void* copy = nullptr;
    if (::posix_memalign(&copy, 4096, size) != 0) return -1;
    std::memcpy(copy, data, size);
    static_cast<unsigned char*>(copy)[size / 2] ^= 16;
    const ssize_t result = real(fd, copy, size, offset);
    std::free(copy);
    return result;
  }
  return action == "zero" ? 0 : real(fd, data, shortened(action, size), offset);
}

namespace {

int open_file(const char* symbol, const char* path, int flags, mode_t mode) {
  auto* real = next<int(const char*, int, ...)>(symbol);
  const bool writes = (flags & O_ACCMODE) != O_RDONLY;
  return writes && fails(fault("open", path)) ? -1 : real(path, flags, mode);
}

int control(const char* symbol, int fd, int command, long argument) {
  auto* real = next<int(int, int, ...)>(symbol);
  const bool direct = command == F_SETFL && (argument & O_DIRECT) != 0;
  return direct && fails(fault("direct", path_of(fd))) ? -1 : real(fd, command, argument);
}

}  // namespace

extern "C" {

ssize_t pread64(int fd, void* data, size_t size, off64_t offset) { return read_under(fault("pread", path_of(fd)), fd, data, size, offset); }
ssize_t pread(int fd, void* data, size_t size, off_t offset) { return pread64(fd, data, size, offset); }
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) { return write_under(fault("pwrite", path_of(fd)), fd, data, size, offset); }
ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }

ssize_t write(int fd, const void* data, size_t size) {
  static auto* real = next<ssize_t(int, const void*, size_t)>("write");
  // Of files only: a wake-up between threads is no step of anything.
  const std::string path = fd > 2 ? path_of(fd) : std::string();
  return !path.empty() && path.front() == '/' && fails(fault("write", path)) ? -1 : real(fd, data, size);
}

int fsync(int fd) {
  static auto* real = next<int(int)>("fsync");
  return fails(fault("fsync", path_of(fd))) ? -1 : real(fd);
}

int fdatasync(int fd) {
  static auto* real = next<int(int)>("fdatasync");
  return fails(fault("fdatasync", path_of(fd))) ? -1 : real(fd);
}

int rename(const char* from, const char* to) noexcept {
  static auto* real = next<int(const char*, const char*)>("rename");
  return fails(fault("rename", to)) ? -1 : real(from, to);
}

int unlink(const char* path) noexcept {
  static auto* real = next<int(const char*)>("unlink");
  return fails(fault("unlink", path)) ? -1 : real(path);
}

int link(const char* from, const char* to) noexcept {
  static auto* real = next<int(const char*, const char*)>("link");
  return fails(fault("link", to)) ? -1 : real(from, to);
}

int ftruncate(int fd, off_t size) noexcept {
  static auto* real = next<int(int, off_t)>("ftruncate");
  return fails(fault("ftruncate", path_of(fd))) ? -1 : real(fd, size);
}

int ftruncate64(int fd, off64_t size) noexcept { return ftruncate(fd, size); }

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return open_file("open", path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return open_file("open64", path, flags, mode);
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
  static auto* real = next<int(int, int, off_t, off_t)>("fallocate");
  return fails(fault("fallocate", path_of(fd))) ? -1 : real(fd, mode, offset, size);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t size) { return fallocate(fd, mode, offset, size); }

int posix_fallocate(int fd, off_t offset, off_t size) {
  static auto* real = next<int(int, off_t, off_t)>("posix_fallocate");
  return fails(fault("fallocate", path_of(fd))) ? errno : real(fd, offset, size);
}

int posix_fallocate64(int fd, off64_t offset, off64_t size) { return posix_fallocate(fd, offset, size); }

int fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  const long argument = va_arg(arguments, long);
  va_end(arguments);
  return control("fcntl", fd, command, argument);
}

int fcntl64(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  const long argument = va_arg(arguments, long);
  va_end(arguments);
  return control("fcntl64", fd, command, argument);
}

}  // extern "C"
