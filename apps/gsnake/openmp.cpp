// How LibTorch's OpenMP threads wait. Threads that spin between two parallel regions take the cores from the optimizer and I/O lanes, and libgomp reads
// how to wait when it is loaded, before main(). So a command that computes starts over with OMP_WAIT_POLICY and GOMP_SPINCOUNT set, unless the user has set one of them:
// from .preinit_array, which runs before any library's own start, of which LibTorch's is most of what a short command takes.
// Not under sanitizers, whose own start would come later than this.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <unistd.h>

#include <cstddef>
#include <cstring>

namespace {

bool names(const char* variable, const char* name) {
  const std::size_t length = std::strlen(name);
  return std::strncmp(variable, name, length) == 0 && variable[length] == '=';
}

// By its words: the command line is not read yet. Benchmarks start others' programs, whose threads wait as they like.
bool computes(char** argv) {
  bool found = false;
  for (char** word = argv; *word != nullptr; ++word) {
    if (std::strcmp(*word, "bench") == 0) return false;
    found = found || std::strcmp(*word, "train") == 0 || std::strcmp(*word, "generate") == 0 || std::strcmp(*word, "evaluate") == 0 || std::strcmp(*word, "plan") == 0 || std::strcmp(*word, "simulate") == 0;
  }
  return found;
}

// Nothing is initialised yet: no allocation, and the environment is what the kernel gave. Where the program can't be started over, it runs as it is, slower.
void start_over_passively(int, char** argv, char** environment) {
  if (!computes(argv)) return;
  constexpr std::size_t kMost = 4096;
  static char policy[] = "OMP_WAIT_POLICY=passive";
  static char spins[] = "GOMP_SPINCOUNT=3000";
  static char* changed[kMost];
  std::size_t count = 0;
  for (; environment[count] != nullptr; ++count) {
    if (count + 3 > kMost || names(environment[count], "OMP_WAIT_POLICY") || names(environment[count], "GOMP_SPINCOUNT")) return;
    changed[count] = environment[count];
  }
  changed[count] = policy;
  changed[count + 1] = spins;
  ::execve("/proc/self/exe", argv, changed);
}

__attribute__((section(".preinit_array"), used)) void (*const before_all_libraries)(int, char**, char**) = start_over_passively;

}  // namespace

#endif
