#include "fake/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace gsnake::fake_cuda {
namespace {

constexpr std::size_t kAddresses = std::size_t{1} << 38U;  // of which pages are there only where they are used
constexpr std::size_t kPage = 4096;
constexpr std::size_t kGap = 4096;  // between blocks, so that running over the end of one is not another

std::size_t whole_pages(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

}  // namespace

Memory::Memory(std::size_t device_bytes) : file_(memfd_create("fake-cuda", MFD_CLOEXEC)), total_(device_bytes) {
  if (file_ < 0 || ftruncate(file_, static_cast<off_t>(kAddresses)) != 0) std::abort();
  handed_out_ = static_cast<char*>(mmap(nullptr, kAddresses, PROT_NONE, MAP_SHARED | MAP_NORESERVE, file_, 0));
  real_ = static_cast<char*>(mmap(nullptr, kAddresses, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file_, 0));
  if (handed_out_ == MAP_FAILED || real_ == MAP_FAILED) std::abort();
}

void Memory::open() {
  if (mprotect(handed_out_, kAddresses, PROT_READ | PROT_WRITE) != 0) std::abort();
  real_ = handed_out_;
}

bool Memory::on_device(const void* place) const {
  const auto* p = static_cast<const char*>(place);
  return p >= handed_out_ && p < handed_out_ + kAddresses;
}

char* Memory::real(const void* place) const {
  auto* p = static_cast<char*>(const_cast<void*>(place));
  return on_device(place) ? real_ + (p - handed_out_) : p;
}

cudaError_t Memory::allocate(void** place, std::size_t bytes) {
  const std::size_t pages = whole_pages(bytes);
  if (bytes > total_ || live_ + pages > total_ || next_ + pages + kGap > kAddresses) return cudaErrorMemoryAllocation;
  *place = handed_out_ + next_;
  std::memset(real_ + next_, 0xff, bytes);
  add(*place, bytes, BlockKind::device);
  next_ += pages + kGap;
  live_ += pages;
  return cudaSuccess;
}

void Memory::give_back(Block& block, const void* place) {
  block.freed = true;
  live_ -= whole_pages(block.bytes);
  fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, real(place) - real_, static_cast<off_t>(whole_pages(block.bytes)));
}

Block* Memory::at(const void* place) {
  const auto found = blocks_.find(reinterpret_cast<std::uintptr_t>(place));
  return found == blocks_.end() ? nullptr : &found->second;
}

Block* Memory::holding(const void* place, std::size_t bytes) {
  const auto first = reinterpret_cast<std::uintptr_t>(place);
  auto after = blocks_.upper_bound(first);
  if (after == blocks_.begin()) return nullptr;
  --after;
  return first + bytes <= after->first + after->second.bytes ? &after->second : nullptr;
}

bool Memory::overlaps(const void* place, std::size_t bytes) const {
  const auto first = reinterpret_cast<std::uintptr_t>(place);
  auto after = blocks_.lower_bound(first);
  if (after != blocks_.end() && after->first < first + bytes) return true;
  if (after == blocks_.begin()) return false;
  --after;
  return first < after->first + after->second.bytes;
}

}  // namespace gsnake::fake_cuda
