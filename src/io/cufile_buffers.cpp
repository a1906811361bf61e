#include "io/cufile_buffers.h"

#include <spdlog/spdlog.h>

namespace gsnake::io::cufile {

Buffers::~Buffers() {
  for (const auto& [base, entry] : entries_) {
    if (entry.registered) deregister(base);
  }
}

std::error_code Buffers::add(std::span<std::byte> memory, Memory kind) {
  {
    const std::lock_guard lock(mutex_);
    if (entries_.contains(memory.data())) return make_error_code(code::kMemoryAlreadyRegistered);
  }
  // Without the lock, as pinning takes a while and transfers go on meanwhile.
  const Status status = calls_.buffer_register(memory.data(), memory.size(), 0);
  const bool registered = status.code == 0;
  if (registered || kind == Memory::device) {
    const std::lock_guard lock(mutex_);
    entries_.emplace(memory.data(), Entry{.size = memory.size(), .memory = kind, .registered = registered});
  }
  return registered ? std::error_code{} : make_error_code(status.code);
}

void Buffers::remove(std::span<std::byte> memory) {
  std::unique_lock lock(mutex_);
  const auto found = entries_.find(memory.data());
  if (found == entries_.end() || found->second.size != memory.size() || found->second.leaving) return;
  Entry& entry = found->second;
  entry.leaving = true;
  given_back_.wait(lock, [&entry] { return entry.uses == 0; });
  // Deregistered before it is forgotten: who registers the same place again must not come in between.
  if (entry.registered) {
    lock.unlock();
    deregister(memory.data());
    lock.lock();
  }
  entries_.erase(memory.data());
}

std::optional<Buffers::Use> Buffers::use(std::byte* data, std::size_t size) noexcept {
  const std::lock_guard lock(mutex_);
  auto after = entries_.upper_bound(data);
  if (after == entries_.begin()) return Use(*this, nullptr, data, 0);
  auto& [base, entry] = *--after;
  const auto offset = static_cast<std::size_t>(data - base);
  if (offset >= entry.size) return Use(*this, nullptr, data, 0);
  const bool inside = size <= entry.size - offset;
  if (!inside && entry.memory == Memory::device) return std::nullopt;
  if (!inside || !entry.registered || entry.leaving) return Use(*this, nullptr, data, 0);
  ++entry.uses;
  return Use(*this, &entry, base, offset);
}

void Buffers::give_back(Entry& entry) noexcept {
  const std::lock_guard lock(mutex_);
  if (--entry.uses == 0 && entry.leaving) given_back_.notify_all();
}

void Buffers::deregister(const std::byte* base) const noexcept {
  if (const Status status = calls_.buffer_deregister(base); status.code != 0) spdlog::warn("cuFileBufDeregister: {}", describe(status));
}

}  // namespace gsnake::io::cufile
