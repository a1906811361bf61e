// Packed objects come from a base, whatever the schedule and the placement, and leave it as it was.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <cstring>
#include <fstream>

#include "device/async_device.h"
#include "greedysnake/error.h"
#include "runtime/rig.h"
#include "runtime/store_layout.h"

namespace gsnake::runtime::test {
namespace {

using schedule::kPackedGrain;
using ::testing::AllOf;
using ::testing::HasSubstr;

// A trained embedding, two blocks of a packed object and a trained one each, a packed head, of one to five of a base's blocks.
Setup base_setup() {
  Setup setup;
  schedule::Problem& p = setup.problem;
  add_unit(p, {.elements = 2 * schedule::kGrain});
  for (std::uint64_t elements : {36000, 8000, 20000}) {
    add_unit(p, {.elements = elements, .trained = false, .packed_bytes = toy_packed_bytes(elements), .state_bytes = {}});
    if (p.unit_count() == 4) break;
    p.units.back().objects.push_back(p.object_count());
    p.objects.push_back({.elements = schedule::kGrain});
  }
  p.activation_bytes = 400;
  p.ids_bytes = kIdsBytes;
  p.micro_batches = 2;
  p.chunk_elements = 16 * schedule::kGrain;  // two blocks
  return setup;
}

// Sees at every visit the bytes that are in the base.
class CheckingBackend final : public ToyBackend {
 public:
  CheckingBackend(const schedule::Problem& problem, const std::vector<ToyObject>& objects)
      : ToyBackend(problem), problem_(problem), objects_(objects) {}
  void run(const device::ComputeScope& scope, const ComputeCall& call) override {
    for (const UsedObject& used : call.uses) {
      if (!problem_.object(used.object).packed()) continue;
      const std::vector<std::byte>& expected = objects_[static_cast<std::size_t>(used.object)].weights;
      EXPECT_EQ(std::memcmp(scope.as<std::byte>(used.weights), expected.data(), expected.size()), 0)
          << "object " << used.object << ", unit " << call.unit;
      ++seen_;
    }
    ToyBackend::run(scope, call);
  }
  [[nodiscard]] int seen() const { return seen_; }

 private:
  const schedule::Problem problem_;
  const std::vector<ToyObject> objects_;
  std::atomic<int> seen_{0};
};

// Of a file: its bytes and when they were last changed.
struct Snapshot {
  explicit Snapshot(const std::string& path) {
    struct stat status {};
    EXPECT_EQ(::stat(path.c_str(), &status), 0);
    changed = {status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
    std::ifstream file(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
  }
  bool operator==(const Snapshot&) const = default;

  std::pair<std::int64_t, std::int64_t> changed;
  std::string bytes;
};

void train_a_little(Rig& rig) {
  rig.load();
  rig.train();
  rig.executor().wait_results(rig.train().ticket);
  rig.executor().wait_results(rig.validate().ticket);
  rig.finish();
}

void expect_its_bytes_everywhere(Setup setup, device::Device& device) {
  SCOPED_TRACE(describe(setup));
  setup.pools = schedule::minimum_pools(setup.problem);
  CheckingBackend backend(setup.problem, initial_objects(setup.problem, setup.seed));
  Rig rig(setup, device, &backend);
  const Snapshot before(rig.base().file().path);
  train_a_little(rig);
  // By step and micro-batch, each block is visited twice and the head once, in validation all once.
  EXPECT_EQ(backend.seen(), 2 * (2 * 5 + 3));
  rig.drop_executor();
  EXPECT_TRUE(Snapshot(rig.base().file().path) == before);
}

TEST(BaseObjects, AreSeenByEveryVisitWhateverTheScheduleAndThePlacement) {
  const auto cpu = device::make_cpu_device();
  for (const auto schedule : {schedule::ScheduleKind::vertical, schedule::ScheduleKind::horizontal}) {
    for (const double delay : {0.0, 0.5, 1.0}) {
      for (const schedule::Fractions weights :
           {schedule::Fractions{0.0, 0.0}, {0.0, 0.5}, {0.0, 1.0}, {0.5, 0.0}, {1.0, 0.0}, {0.3, 0.4}}) {
        auto setup = base_setup();
        setup.problem.schedule = schedule;
        setup.problem.order = schedule == schedule::ScheduleKind::vertical ? schedule::Order::snake : schedule::Order::ascending;
        setup.problem.delay = delay;
        setup.problem.weights = weights;
        setup.slots = delay == 0.5 ? 2 : 1;
        setup.problem.commits = setup.slots == 2;
        expect_its_bytes_everywhere(setup, *cpu);
        device::AsyncDevice late({.seed = 7});
        expect_its_bytes_everywhere(setup, late);
      }
    }
  }
}

TEST(BaseObjects, AreReadByTwoRunsAtOnce) {
  const auto device = device::make_cpu_device();
  auto setup = base_setup();
  setup.pools = schedule::minimum_pools(setup.problem);
  const store::testing::TemporaryDirectory folder;
  const std::vector<ToyObject> objects = initial_objects(setup.problem, setup.seed);
  setup.base = std::make_shared<ToyBase>(folder / "base.bin", setup.problem, objects);
  CheckingBackend one(setup.problem, objects);
  CheckingBackend other(setup.problem, objects);
  Rig first(setup, *device, &one);
  setup.engine = io::EngineChoice::automatic;
  Rig second(setup, *device, &other);
  const Snapshot before(folder / "base.bin");
  for (Rig* rig : {&first, &second}) rig->load();
  for (int i = 0; i < 3; ++i) {
    for (Rig* rig : {&first, &second}) rig->train();
  }
  for (Rig* rig : {&first, &second}) rig->finish();
  EXPECT_EQ(one.seen(), 3 * 2 * 5);
  EXPECT_EQ(other.seen(), 3 * 2 * 5);
  EXPECT_TRUE(Snapshot(folder / "base.bin") == before);
}

void flip_a_bit(const std::string& path, std::uint64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  const int byte = file.get();
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(byte ^ 4));
  file.flush();
  ASSERT_TRUE(file) << path;
}

std::string failure_of(Rig& rig) {
  try {
    train_a_little(rig);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::storage);
    return error.what();
  }
  return "";
}

TEST(BaseObjects, ThatAreDamagedStopTheRunAndSayWhere) {
  const auto device = device::make_cpu_device();
  for (const schedule::Fractions weights : {schedule::Fractions{0.0, 0.0}, {0.0, 1.0}, {1.0, 0.0}}) {
    auto setup = base_setup();
    setup.problem.weights = weights;
    setup.pools = schedule::minimum_pools(setup.problem);
    Rig rig(setup, *device);
    const std::string path = rig.base().file().path;
    const std::uint64_t block = rig.base().file().objects[1].offset + 3 * kPackedGrain;
    const std::uint64_t hash = rig.base().hashes().blocks[block / kPackedGrain];
    flip_a_bit(path, block + 4321);
    const std::string message = failure_of(rig);
    EXPECT_THAT(message,
                AllOf(HasSubstr("cannot use 65536 B at offset " + std::to_string(block) + " of " + path), HasSubstr("(base of object 1)"),
                      HasSubstr(fmt::format("and not {:016x}", hash)), HasSubstr("gsnake quantize")));
    EXPECT_EQ(failure_of(rig), message);
  }
}

TEST(BaseObjects, AreNotCheckedWhereReadsAreNot) {
  const auto device = device::make_cpu_device();
  auto setup = base_setup();
  setup.verify_reads = false;
  setup.pools = schedule::minimum_pools(setup.problem);
  Rig rig(setup, *device);
  flip_a_bit(rig.base().file().path, rig.base().file().objects[1].offset + 300);
  EXPECT_EQ(failure_of(rig), "");
}

TEST(BaseObjects, HaveNothingInTheRunsOwnFiles) {
  const auto setup = base_setup();
  const store::Layout layout = store_layout(setup.problem, 2);
  const store::KindLayout& weights = layout.kinds[core::index_of(core::ExtentKind::weights)];
  EXPECT_EQ(weights.padded_bytes, (std::vector<std::uint64_t>{8 * schedule::kGrain, 0, 4 * schedule::kGrain, 0, 4 * schedule::kGrain, 0}));
  EXPECT_TRUE(weights.frozen.empty());
  EXPECT_TRUE(layout.kinds[core::index_of(core::ExtentKind::base)].padded_bytes.empty());
}

TEST(BaseObjects, AreAskedForBeforeAnythingRuns) {
  const auto device = device::make_cpu_device();
  auto setup = base_setup();
  setup.pools = schedule::minimum_pools(setup.problem);
  const store::testing::TemporaryDirectory folder;
  schedule::Problem other = setup.problem;
  other.objects[1].packed_bytes += kPackedGrain;
  setup.base = std::make_shared<ToyBase>(folder / "base.bin", other, initial_objects(other, setup.seed));
  EXPECT_THROW(Rig(setup, *device), std::logic_error);
}

}  // namespace
}  // namespace gsnake::runtime::test
