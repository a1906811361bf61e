#include "place.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <new>

#include "support.h"

namespace gsnake::kernels::place {

const char* why_not() { return nullptr; }

std::shared_ptr<std::byte> allocate(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t used = (bytes + 63) / 64 * 64;
  const std::size_t mapped = (used + page - 1) / page * page + page;
  void* const address = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) throw std::bad_alloc();
  auto* const end = static_cast<std::byte*>(address) + mapped - page;
  ::mprotect(end, page, PROT_NONE);
  return {end - used, [=](std::byte*) { ::munmap(address, mapped); }};
}

void to_device(std::byte* device, const void* host, std::size_t bytes) {
  if (bytes != 0) std::memcpy(device, host, bytes);
}
void to_host(void* host, const std::byte* device, std::size_t bytes) {
  if (bytes != 0) std::memcpy(host, device, bytes);
}

void in_each_order(const std::function<void()>& body) {
  expect_same_in_every_order([&] {
    body();
    return std::vector<unsigned char>();
  });
}

}  // namespace gsnake::kernels::place
