#include "train/mutant_device.h"

#include <atomic>
#include <utility>

namespace gsnake::test {
namespace {

using device::Event;
using device::StreamKind;

constexpr int kNobody = -1;

class MutantEvent final : public Event {
 public:
  MutantEvent(std::unique_ptr<Event> inner, bool reads_early) : inner_(std::move(inner)), reads_early_(reads_early) {}
  [[nodiscard]] bool reached() const override { return reads_early_ || inner_->reached(); }
  void wait() const override {
    if (!reads_early_) inner_->wait();
  }
  Event& inner() const { return *inner_; }
  void recorded_by(int stream) { recorded_by_ = stream; }
  [[nodiscard]] int recorded_by() const { return recorded_by_; }

 private:
  std::unique_ptr<Event> inner_;
  const bool reads_early_;
  std::atomic<int> recorded_by_{kNobody};
};

// Streams take their own device's events alone: this unwraps them.
class MutantStream final : public device::Stream {
 public:
  MutantStream(device::Device& device, StreamKind kind, const Mutation& mutation)
      : inner_(device.stream(kind)), aside_(device.stream(StreamKind::collective)), kind_(static_cast<int>(kind)), drops_(mutation.drops_waits[static_cast<std::size_t>(kind)]),
        early_(mutation.records_early && (kind == StreamKind::h2d || kind == StreamKind::d2h) ? device.make_event() : nullptr) {}
  void copy(device::DevicePtr to, device::HostPtr from, std::size_t bytes) override { before_work(), inner_.copy(to, from, bytes); }
  void copy(device::HostPtr to, device::DevicePtr from, std::size_t bytes) override { before_work(), inner_.copy(to, from, bytes); }
  void copy(device::DevicePtr to, device::DevicePtr from, std::size_t bytes) override { before_work(), inner_.copy(to, from, bytes); }
  void fill_zero(device::DevicePtr to, std::size_t bytes) override { inner_.fill_zero(to, bytes); }
  void compute(const Work& work) override { inner_.compute(work); }
  void wait(const Event& event) override {
    const auto& other = static_cast<const MutantEvent&>(event);
    if (other.recorded_by() != kNobody && drops_[static_cast<std::size_t>(other.recorded_by())]) return;
    inner_.wait(other.inner());
  }
  // Where it records early: where the stream stood before its last copy, by way of another stream, which waits for that point alone.
  void record(Event& event) override {
    auto& recorded = static_cast<MutantEvent&>(event);
    recorded.recorded_by(kind_);
    if (early_ == nullptr) return inner_.record(recorded.inner());
    aside_.wait(*early_);
    aside_.record(recorded.inner());
  }

 private:
  void before_work() {
    if (early_ != nullptr) inner_.record(*early_);
  }
  device::Stream& inner_;
  device::Stream& aside_;
  const int kind_;
  const Mutation::Dropped drops_;
  const std::unique_ptr<Event> early_;
};

class MutantDevice final : public device::Device {
 public:
  MutantDevice(std::unique_ptr<device::Device> inner, const Mutation& mutation) : inner_(std::move(inner)), reads_early_(mutation.reads_early) {
    for (std::size_t kind = 0; kind < streams_.size(); ++kind) streams_[kind] = std::make_unique<MutantStream>(*inner_, static_cast<StreamKind>(kind), mutation);
  }
  [[nodiscard]] const std::string& name() const noexcept override { return inner_->name(); }
  device::DeviceMemory device_alloc(std::size_t bytes) override { return inner_->device_alloc(bytes); }
  device::HostMemory host_alloc(std::size_t bytes) override { return inner_->host_alloc(bytes); }
  [[nodiscard]] device::HostSide host_side() const override { return inner_->host_side(); }
  device::Stream& stream(StreamKind kind) override { return *streams_[static_cast<std::size_t>(kind)]; }
  std::unique_ptr<Event> make_event() override { return std::make_unique<MutantEvent>(inner_->make_event(), reads_early_); }

 private:
  std::unique_ptr<device::Device> inner_;
  const bool reads_early_;
  std::array<std::unique_ptr<MutantStream>, device::kStreamCount> streams_;
};

}  // namespace

std::unique_ptr<device::Device> mutated(std::unique_ptr<device::Device> device, const Mutation& mutation) { return std::make_unique<MutantDevice>(std::move(device), mutation); }

}  // namespace gsnake::test
