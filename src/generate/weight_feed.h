// The weights of a model, unit after unit and pass after pass: some stay in memory, the rest are read ahead into slots.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "device/device.h"
#include "generate/weight_source.h"
#include "plan/model_layout.h"
#include "runtime/compute.h"

namespace gsnake::generate {

// host: of a device with memory of its own, copied to a slot at each visit; else computed with where it is.
enum class Tier : std::uint8_t { device, host, storage };

struct WeightPlacement {
  std::vector<Tier> tiers;       // by object
  int slots = 0;                 // 0: every object is computed with where it is
  std::uint64_t slot_bytes = 0;
};

// Driven by one thread, which opens and closes the units in their order, again and again. Everything is borrowed.
class WeightFeed {
 public:
  // Loads what stays in memory. on_host: the device's memory is the host's. Throws as WeightSource::read(), Error(budget).
  WeightFeed(WeightSource& source, device::Device& device, const plan::ModelLayout& layout, WeightPlacement placement, bool on_host);
  ~WeightFeed();
  WeightFeed(const WeightFeed&) = delete;
  WeightFeed& operator=(const WeightFeed&) = delete;

  // What a unit computes with, on the compute stream from now on; valid until the unit is opened again. Throws what ended the reading.
  std::span<const runtime::UsedObject> open(int unit);
  // What was submitted to the compute stream so far is the last that uses them.
  void close(int unit);
  // What was read from a drive for what was opened so far, and for what stays.
  [[nodiscard]] std::uint64_t stored_bytes() const { return stored_bytes_; }

 private:
  struct Slot {
    device::DeviceMemory memory;
    std::unique_ptr<device::Event> filled;
    std::unique_ptr<device::Event> used;
  };
  struct Staging {
    device::HostMemory memory;
    std::unique_ptr<device::Event> copied;
  };

  [[nodiscard]] Tier tier(int object) const { return placement_.tiers[static_cast<std::size_t>(object)]; }
  [[nodiscard]] bool stays(int object) const { return tier(object) == Tier::device || (tier(object) == Tier::host && on_host_); }
  void load_what_stays();
  void read_to(int object, device::DevicePtr to, Staging& staging);
  void stream();
  void fetch(int object, Slot& slot, Staging& staging);
  int take_free();
  void ready(int slot);

  WeightSource& source_;
  device::Device& device_;
  const plan::ModelLayout& layout_;
  const WeightPlacement placement_;
  const bool on_host_;
  std::vector<device::DeviceMemory> resident_;  // by object
  std::vector<device::HostMemory> kept_;        // likewise: on the host, to be copied
  std::vector<int> order_;                      // objects that take slots, of a pass
  std::vector<Slot> slots_;
  std::vector<Staging> staging_;
  std::vector<std::vector<runtime::UsedObject>> uses_;  // by unit
  std::vector<std::vector<int>> held_;                  // by unit: slots
  std::uint64_t stored_bytes_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<int> free_;   // under mutex_, as what follows
  std::deque<int> ready_;  // in order_'s order
  bool stopping_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace gsnake::generate
