#include "generate/weight_feed.h"

#include <algorithm>

namespace gsnake::generate {
namespace {

constexpr std::size_t kStagings = 2;  // one is copied from while the next is read into

}  // namespace

WeightFeed::WeightFeed(WeightSource& source, device::Device& device, const plan::ModelLayout& layout, WeightPlacement placement, bool on_host)
    : source_(source), device_(device), layout_(layout), placement_(std::move(placement)), on_host_(on_host),
      resident_(layout.object_count()), kept_(layout.object_count()), uses_(layout.units.size()), held_(layout.units.size()) {
  const bool reads_to_host = !on_host_;
  std::uint64_t staged = 0;
  for (std::size_t object = 0; object < layout.object_count(); ++object) {
    if (tier(static_cast<int>(object)) != Tier::host) staged = std::max(staged, source.bytes(static_cast<int>(object)));
  }
  for (std::size_t i = 0; i < kStagings; ++i) staging_.push_back({reads_to_host ? device.host_alloc(staged) : device::HostMemory(), device.make_event()});
  load_what_stays();
  for (std::size_t unit = 0; unit < layout.units.size(); ++unit) {
    for (const int object : layout.objects_of(static_cast<int>(unit))) {
      uses_[unit].push_back({object, resident_[static_cast<std::size_t>(object)].data(), {}, false});
      if (!stays(object)) order_.push_back(object);
    }
  }
  if (order_.empty()) return;
  for (int i = 0; i < placement_.slots; ++i) {
    slots_.push_back({device.device_alloc(placement_.slot_bytes), device.make_event(), device.make_event()});
    free_.push_back(i);
  }
  thread_ = std::thread([this] { stream(); });
}

WeightFeed::~WeightFeed() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  // What is still on its way to a slot. A device that failed does not touch memory any more.
  for (const Slot& slot : slots_) {
    try {
      slot.filled->wait();
    } catch (...) {
      break;
    }
  }
}

void WeightFeed::load_what_stays() {
  for (std::size_t i = 0; i < resident_.size(); ++i) {
    const int object = static_cast<int>(i);
    if (tier(object) != Tier::storage) stored_bytes_ += source_.stored_bytes(object);
    if (stays(object)) {
      resident_[i] = device_.device_alloc(source_.bytes(object));
      read_to(object, resident_[i].data(), staging_[i % kStagings]);
    } else if (tier(object) == Tier::host) {
      kept_[i] = device_.host_alloc(source_.bytes(object));
      source_.read(object, kept_[i].data().get());
    }
  }
  for (const Staging& staging : staging_) staging.copied->wait();
}

// On the stream that brings things to the device.
void WeightFeed::read_to(int object, device::DevicePtr to, Staging& staging) {
  device::Stream& stream = device_.stream(device::StreamKind::h2d);
  if (on_host_) {
    std::exception_ptr failed;
    stream.compute([&](const device::ComputeScope& scope) {
      try {
        source_.read(object, scope.address(to));
      } catch (...) {
        failed = std::current_exception();
      }
    });
    stream.record(*staging.copied);
    staging.copied->wait();
    if (failed) std::rethrow_exception(failed);
    return;
  }
  staging.copied->wait();
  source_.read(object, staging.memory.data().get());
  stream.copy(to, staging.memory.data(), source_.bytes(object));
  stream.record(*staging.copied);
}

void WeightFeed::stream() {
  try {
    for (std::size_t i = 0;; ++i) {
      const int slot = take_free();
      if (slot < 0) return;
      fetch(order_[i % order_.size()], slots_[static_cast<std::size_t>(slot)], staging_[i % kStagings]);
      ready(slot);
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    error_ = std::current_exception();
    changed_.notify_all();
  }
}

void WeightFeed::fetch(int object, Slot& slot, Staging& staging) {
  device::Stream& stream = device_.stream(device::StreamKind::h2d);
  stream.wait(*slot.used);
  if (tier(object) == Tier::host) {
    stream.copy(slot.memory.data(), kept_[static_cast<std::size_t>(object)].data(), source_.bytes(object));
  } else {
    read_to(object, slot.memory.data(), staging);
  }
  stream.record(*slot.filled);
}

int WeightFeed::take_free() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return stopping_ || !free_.empty(); });
  if (stopping_) return -1;
  const int slot = free_.front();
  free_.pop_front();
  return slot;
}

void WeightFeed::ready(int slot) {
  const std::lock_guard lock(mutex_);
  ready_.push_back(slot);
  changed_.notify_all();
}

std::span<const runtime::UsedObject> WeightFeed::open(int unit) {
  const auto u = static_cast<std::size_t>(unit);
  for (runtime::UsedObject& use : uses_[u]) {
    if (stays(use.object)) continue;
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return error_ || !ready_.empty(); });
    if (ready_.empty()) std::rethrow_exception(error_);
    const int slot = ready_.front();
    ready_.pop_front();
    lock.unlock();
    device_.stream(device::StreamKind::compute).wait(*slots_[static_cast<std::size_t>(slot)].filled);
    use.weights = slots_[static_cast<std::size_t>(slot)].memory.data();
    held_[u].push_back(slot);
    if (tier(use.object) == Tier::storage) stored_bytes_ += source_.stored_bytes(use.object);
  }
  return uses_[u];
}

void WeightFeed::close(int unit) {
  std::vector<int>& held = held_[static_cast<std::size_t>(unit)];
  if (held.empty()) return;
  for (const int slot : held) device_.stream(device::StreamKind::compute).record(*slots_[static_cast<std::size_t>(slot)].used);
  const std::lock_guard lock(mutex_);
  free_.insert(free_.end(), held.begin(), held.end());
  held.clear();
  changed_.notify_all();
}

}  // namespace gsnake::generate
