#include "checkpoint/master_weights.h"

#include <cstring>

#include "greedysnake/error.h"
#include "memory/anonymous.h"

namespace gsnake::checkpoint {
namespace {

using optim::WeightFormat;

std::uint64_t elements_of(const store::Store& store, WeightFormat format, std::uint32_t object) {
  return store.layout().kinds[static_cast<std::size_t>(store::Kind::weights)].padded_bytes.at(object) / optim::weight_bytes(format);
}

template <typename T>
std::span<T> as(const memory::AnonymousMemory& memory, std::uint64_t elements) {
  return {reinterpret_cast<T*>(memory.data()), elements};
}

memory::AnonymousMemory read_kind(store::Store& store, store::Kind kind, std::uint32_t object, int slot) {
  const std::uint64_t bytes = store.layout().kinds[static_cast<std::size_t>(kind)].padded_bytes.at(object);
  memory::AnonymousMemory memory(bytes);
  store.read({kind, object, 0, bytes}, slot, memory.data());
  return memory;
}

void write_kind(store::Store& store, store::Kind kind, std::uint32_t object, const memory::AnonymousMemory& memory, std::uint64_t bytes, StateHashes& hashes) {
  hashes.written(kind, object, {memory.data(), bytes});
  store.write({kind, object, 0, bytes}, 0, memory.data());
}

}  // namespace

bool has_master(const store::Store& store, std::uint32_t object) {
  const std::vector<std::uint64_t>& bytes = store.layout().kinds[static_cast<std::size_t>(store::Kind::master)].padded_bytes;
  return object < bytes.size() && bytes[object] > 0;
}

void write_master(store::Store& store, WeightFormat format, std::uint32_t object, std::span<const float> master, const std::string& what,
                  StateHashes& hashes) {
  if (!optim::storable(format, master)) {
    throw Error(ErrorKind::usage, "the initial weights of " + what + " are not finite, or too large for train.dtype; check the initializer");
  }
  const std::uint64_t elements = master.size();
  const memory::AnonymousMemory weights(elements * optim::weight_bytes(format));
  if (format == WeightFormat::fp32) {
    std::memcpy(weights.data(), master.data(), master.size_bytes());
  } else {
    const memory::AnonymousMemory rest(elements * optim::master_bytes(format));
    if (format == WeightFormat::bf16) {
      optim::split_master(master, as<std::uint16_t>(weights, elements), as<std::int16_t>(rest, elements));
    } else {
      optim::to_fp16(master, as<std::uint16_t>(weights, elements));
      std::memcpy(rest.data(), master.data(), master.size_bytes());
    }
    if (has_master(store, object)) write_kind(store, store::Kind::master, object, rest, elements * optim::master_bytes(format), hashes);
  }
  write_kind(store, store::Kind::weights, object, weights, elements * optim::weight_bytes(format), hashes);
}

std::vector<float> read_master(store::Store& store, WeightFormat format, std::uint32_t object, int slot) {
  const std::uint64_t elements = elements_of(store, format, object);
  std::vector<float> master(elements);
  if (format != WeightFormat::fp32 && !has_master(store, object)) {
    optim::widen(format, as<const std::uint16_t>(read_kind(store, store::Kind::weights, object, slot), elements), master);
    return master;
  }
  if (format == WeightFormat::bf16) {
    const auto weights = read_kind(store, store::Kind::weights, object, slot);
    const auto remainder = read_kind(store, store::Kind::master, object, slot);
    optim::join_master(as<const std::uint16_t>(weights, elements), as<const std::int16_t>(remainder, elements), master);
    return master;
  }
  const auto whole = read_kind(store, format == WeightFormat::fp16 ? store::Kind::master : store::Kind::weights, object, slot);
  std::memcpy(master.data(), whole.data(), elements * sizeof(float));
  return master;
}

}  // namespace gsnake::checkpoint
