// Preloaded into a process under test, it makes chosen system calls of the C library fail, as GSNAKE_FAULTS says:
//
//   rule[;rule...]      rule = call,path,which,action
//   call    pread, pwrite, write, fsync, fdatasync, rename, unlink, fallocate, direct (O_DIRECT is
//           turned on), or any (each of them but pread and pwrite)
//   path    part of the file's path; empty: any
//   which   n: the n-th matching call, from 0; n+: that and all later ones; n%m: those whose number leaves n when divided by m
//   action  an errno's number; short: half of the bytes; zero: none; flip: a bit of what was read; kill: SIGKILL before the call; sleep: 100 ms before it
//
// io_uring's calls don't pass through the C library: the process is told to use the other engine.
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

std::string path_of(int fd) {
  char name[64];
  char path[4096];
  std::snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  const ssize_t length = ::readlink(name, path, sizeof path);
  return {path, length < 0 ? 0 : static_cast<std::size_t>(length)};
}

// The action of the first rule that this call meets; empty: none.
std::string_view fault(std::string_view call, const std::string& path) {
  static const std::vector<Rule*> rules = parse();
  const bool transfers = call == "pread" || call == "pwrite";
  for (Rule* rule : rules) {
    if (rule->call != call && (rule->call != "any" || transfers)) continue;
    if (path.find(rule->path) == std::string::npos || !rule->hits(rule->seen.fetch_add(1))) continue;
    if (rule->action == "kill") ::kill(::getpid(), SIGKILL);
    if (rule->action == "sleep") ::usleep(100'000);
    if (rule->action == "kill" || rule->action == "sleep") continue;
    return rule->action;
  }
  return {};
}

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

ssize_t transfer_read(const char* symbol, int fd, void* data, std::size_t size, off_t offset) {
  static auto* real = next<ssize_t(int, void*, std::size_t, off_t)>(symbol);
  const std::string_view action = fault("pread", path_of(fd));
  if (fails(action)) return -1;
  if (action == "zero") return 0;
  const ssize_t result = real(fd, data, shortened(action, size), offset);
  if (action == "flip" && result > 0) static_cast<unsigned char*>(data)[result / 2] ^= 16;
  return result;
}

ssize_t transfer_write(const char* symbol, int fd, const void* data, std::size_t size, off_t offset) {
  static auto* real = next<ssize_t(int, const void*, std::size_t, off_t)>(symbol);
  const std::string_view action = fault("pwrite", path_of(fd));
  if (fails(action)) return -1;
  return action == "zero" ? 0 : real(fd, data, shortened(action, size), offset);
}

int control(const char* symbol, int fd, int command, long argument) {
  auto* real = next<int(int, int, ...)>(symbol);
  const bool direct = command == F_SETFL && (argument & O_DIRECT) != 0;
  return direct && fails(fault("direct", path_of(fd))) ? -1 : real(fd, command, argument);
}

}  // namespace

extern "C" {

ssize_t pread(int fd, void* data, size_t size, off_t offset) { return transfer_read("pread", fd, data, size, offset); }
ssize_t pread64(int fd, void* data, size_t size, off64_t offset) { return transfer_read("pread64", fd, data, size, offset); }
ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) { return transfer_write("pwrite", fd, data, size, offset); }
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) { return transfer_write("pwrite64", fd, data, size, offset); }

ssize_t write(int fd, const void* data, size_t size) {
  static auto* real = next<ssize_t(int, const void*, size_t)>("write");
  return fd > 2 && fails(fault("write", path_of(fd))) ? -1 : real(fd, data, size);
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
