// The tests on the fake GPU see what they are there to see: with one edge of a run's order taken away, bits differ or misuse is reported.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <filesystem>

#include "fake/control.h"
#include "train/cuda_run.h"

namespace gsnake::test {
namespace {

using device::Event;
using device::StreamKind;

// Which rule is broken.
struct Mutation {
  const char* name;
  std::array<bool, device::kStreamCount> drops_waits;  // of these streams for others' events
  bool reads_early;                                    // the host does not wait for events
  bool records_early;                                  // events are recorded before the copy that they follow
};

class MutantStream final : public device::Stream {
 public:
  MutantStream(device::Stream& inner, bool drops_waits, bool records_early, device::Device& device)
      : inner_(inner), drops_waits_(drops_waits), early_(records_early ? device.make_event() : nullptr) {}
  void copy(device::DevicePtr to, device::HostPtr from, std::size_t bytes) override { before_work(), inner_.copy(to, from, bytes); }
  void copy(device::HostPtr to, device::DevicePtr from, std::size_t bytes) override { before_work(), inner_.copy(to, from, bytes); }
  void copy(device::DevicePtr to, device::DevicePtr from, std::size_t bytes) override { before_work(), inner_.copy(to, from, bytes); }
  void fill_zero(device::DevicePtr to, std::size_t bytes) override { inner_.fill_zero(to, bytes); }
  void compute(const Work& work) override { inner_.compute(work); }
  void wait(const Event& event) override {
    if (!drops_waits_) inner_.wait(event);
  }
  // Records where the stream stood before its last copy: by way of another stream, which waits for that point alone.
  void record(Event& event) override {
    if (early_ == nullptr || aside_ == nullptr) return inner_.record(event);
    aside_->wait(*early_);
    aside_->record(event);
  }
  void use_aside(device::Stream& aside) { aside_ = &aside; }

 private:
  void before_work() {
    if (early_ != nullptr) inner_.record(*early_);
  }
  device::Stream& inner_;
  const bool drops_waits_;
  std::unique_ptr<Event> early_;
  device::Stream* aside_ = nullptr;
};

class MutantEvent final : public Event {
 public:
  MutantEvent(std::unique_ptr<Event> inner, bool reads_early) : inner_(std::move(inner)), reads_early_(reads_early) {}
  [[nodiscard]] bool reached() const override { return reads_early_ || inner_->reached(); }
  void wait() const override {
    if (!reads_early_) inner_->wait();
  }
  Event& inner() const { return *inner_; }

 private:
  std::unique_ptr<Event> inner_;
  const bool reads_early_;
};

// Streams take their own device's events alone: these unwrap them.
class UnwrappingStream final : public device::Stream {
 public:
  explicit UnwrappingStream(std::unique_ptr<MutantStream> inner) : inner_(std::move(inner)) {}
  void copy(device::DevicePtr to, device::HostPtr from, std::size_t bytes) override { inner_->copy(to, from, bytes); }
  void copy(device::HostPtr to, device::DevicePtr from, std::size_t bytes) override { inner_->copy(to, from, bytes); }
  void copy(device::DevicePtr to, device::DevicePtr from, std::size_t bytes) override { inner_->copy(to, from, bytes); }
  void fill_zero(device::DevicePtr to, std::size_t bytes) override { inner_->fill_zero(to, bytes); }
  void compute(const Work& work) override { inner_->compute(work); }
  void wait(const Event& event) override { inner_->wait(static_cast<const MutantEvent&>(event).inner()); }
  void record(Event& event) override { inner_->record(static_cast<MutantEvent&>(event).inner()); }
  MutantStream& mutant() { return *inner_; }

 private:
  std::unique_ptr<MutantStream> inner_;
};

class MutantDevice final : public device::Device {
 public:
  MutantDevice(std::unique_ptr<device::Device> inner, const Mutation& mutation) : inner_(std::move(inner)), mutation_(mutation) {
    for (int kind = 0; kind < device::kStreamCount; ++kind) {
      const auto k = static_cast<std::size_t>(kind);
      const bool is_copy = kind == static_cast<int>(StreamKind::h2d) || kind == static_cast<int>(StreamKind::d2h);
      device::Stream& stream = inner_->stream(static_cast<StreamKind>(kind));
      streams_[k] = std::make_unique<UnwrappingStream>(std::make_unique<MutantStream>(stream, mutation.drops_waits[k], mutation.records_early && is_copy, *inner_));
      streams_[k]->mutant().use_aside(inner_->stream(StreamKind::collective));
    }
  }
  [[nodiscard]] const std::string& name() const noexcept override { return inner_->name(); }
  device::DeviceMemory device_alloc(std::size_t bytes) override { return inner_->device_alloc(bytes); }
  device::HostMemory host_alloc(std::size_t bytes) override { return inner_->host_alloc(bytes); }
  device::Stream& stream(StreamKind kind) override { return *streams_[static_cast<std::size_t>(kind)]; }
  std::unique_ptr<Event> make_event() override { return std::make_unique<MutantEvent>(inner_->make_event(), mutation_.reads_early); }

 private:
  std::unique_ptr<device::Device> inner_;
  const Mutation mutation_;
  std::array<std::unique_ptr<UnwrappingStream>, device::kStreamCount> streams_;
};

// By StreamKind: compute, h2d, d2h, collective.
const std::array kMutations{
    Mutation{"compute does not wait for its weights", {true, false, false, false}, false, false},
    Mutation{"a slot is filled while it is in use", {false, true, false, false}, false, false},
    Mutation{"gradients leave before they are there", {false, false, true, false}, false, false},
    Mutation{"the host reads early", {false, false, false, false}, true, false},
    Mutation{"a copy's event is recorded before the copy", {false, false, false, false}, false, true},
};

// Trains with a mutation, which fails where training differs from training in memory, or ends the process.
void train_with(const Mutation& mutation, std::uint64_t seed) {
  const TempFolder folder;
  Config config = cuda_config(kRunSettings[0], small_llama(), Dtype::fp32, folder);
  config.run.durability = Durability::off;
  const std::vector<Batch> batches = random_batches(3, kRunMicroBatches, config.model.vocab);
  const WrapDevice wrap = [&](std::unique_ptr<device::Device> inner) { return std::make_unique<MutantDevice>(std::move(inner), mutation); };
  const Outcome expected = train_in_memory(config, batches, reference::Order::snake);
  expect_equal(train_streamed(config, batches, on_fake_gpu(seed, wrap)), expected);
  EXPECT_EQ(fake_cuda_reports(), 0);
}

// Of CudaMutations alone, which runs it in a process of its own.
TEST(CudaMutation, DISABLED_Run) {
  const std::size_t mutation = std::stoul(std::getenv("GSNAKE_MUTATION"));
  train_with(mutation < kMutations.size() ? kMutations[mutation] : Mutation{}, std::stoull(std::getenv("GSNAKE_MUTATION_SEED")));
}

bool passes(std::size_t mutation, int seed) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  const std::string line = "GSNAKE_MUTATION=" + std::to_string(mutation) + " GSNAKE_MUTATION_SEED=" + std::to_string(seed) + " timeout 120 '" + program +
                           "' --gtest_also_run_disabled_tests --gtest_filter=CudaMutation.DISABLED_Run > /dev/null 2>&1";
  return std::system(line.c_str()) == 0;
}

class CudaMutations : public testing::TestWithParam<std::size_t> {};

TEST(CudaMutation, NoneIsNoticedWhereThereIsNone) { EXPECT_TRUE(passes(kMutations.size(), 1)); }

TEST_P(CudaMutations, IsCaught) {
  for (int seed = 1; seed <= 12; ++seed) {
    if (!passes(GetParam(), seed)) return;
  }
  FAIL() << kMutations.at(GetParam()).name << ": not caught with any of 12 seeds";
}

INSTANTIATE_TEST_SUITE_P(One, CudaMutations, testing::Range(std::size_t{0}, kMutations.size()), [](const auto& test) {
  std::string name = kMutations.at(test.param).name;
  for (char& c : name) c = c == ' ' || c == '\'' ? '_' : c;
  return name;
});

}  // namespace
}  // namespace gsnake::test
