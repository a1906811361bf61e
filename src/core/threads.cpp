#include "core/threads.h"

#include <pthread.h>

#include <algorithm>
#include <array>

namespace gsnake::core {
namespace {

constexpr std::size_t kKernelNameBytes = 16;  // with the terminating zero

}  // namespace

void set_thread_name(const std::string& name) noexcept {
  std::array<char, kKernelNameBytes> cut{};
  std::copy_n(name.begin(), std::min(name.size(), cut.size() - 1), cut.begin());
  // A name only helps a reader: that it could not be set changes nothing.
  static_cast<void>(pthread_setname_np(pthread_self(), cut.data()));
}

std::string thread_name() {
  std::array<char, kKernelNameBytes> name{};
  if (pthread_getname_np(pthread_self(), name.data(), name.size()) != 0) return {};
  return name.data();
}

}  // namespace gsnake::core
