#include "device/pages.h"

#include "memory/anonymous.h"

namespace gsnake::device {

template <typename Pointer>
Memory<Pointer> map_pages(std::size_t bytes, std::string_view tier, int node) {
  if (bytes == 0) return {};
  memory::AnonymousMemory pages(bytes, {.resident = true, .tier = tier, .node = node});
  std::byte* begin = pages.release();
  return {Pointer(begin), bytes, [begin, bytes] { memory::AnonymousMemory::give_back(begin, bytes); }};
}

template HostMemory map_pages<HostPtr>(std::size_t bytes, std::string_view tier, int node);
template DeviceMemory map_pages<DevicePtr>(std::size_t bytes, std::string_view tier, int node);

}  // namespace gsnake::device
