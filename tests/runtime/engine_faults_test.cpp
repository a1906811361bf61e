// The drive's faults, injected between store and engine: those that an engine makes good change no bit of what is trained; every other
// stops the run with one error that names operation, object, length, offset, path and reason, and leaves the commits before it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <map>

#include "core/errors.h"
#include "greedysnake/error.h"
#include "io/harmless_faults.h"
#include "runtime/journey.h"
#include "runtime/rig.h"

namespace gsnake::runtime::test {
namespace {

using io::testing::Damage;
using io::testing::Fate;
using io::testing::FaultyEngine;
using store::Kind;
using testing::HasSubstr;

constexpr int kProblems = 12;

Setup with_harmless_faults(Setup setup, std::uint64_t seed) {
  const io::EngineOptions options{.depth = 128, .threads = 3};
  setup.wrap_engine = [engine = setup.engine, options, seed](const std::unique_ptr<io::IoEngine>&) {
    return io::testing::make_harmless_engine(engine, options, seed);
  };
  return setup;
}

TEST(EngineFaults, HarmlessOnesChangeNoBit) {
  const auto device = device::make_cpu_device();
  for (std::uint64_t seed = 2001; seed <= 2000 + seeds(kProblems, 4) && !HasFailure(); ++seed) {
    auto setup = random_setup(seed);
    setup.engine = seed % 2 == 0 ? io::EngineChoice::io_uring : io::EngineChoice::threads;
    setup = with_harmless_faults(setup, seed);
    SCOPED_TRACE("seed " + std::to_string(seed) + ": " + describe(setup));
    Rig rig(setup, *device);
    Journey(rig, setup.problem, seed).run(6);
  }
}

// ---- What can't be made good ----

struct Fault {
  const char* name;
  Fate fate;
  io::Direction op;           // that meets it
  const char* reason;  // in the message
};

const Fault kErrorRead{"IoErrorOfARead", {.error = core::errno_code(EIO)}, io::Direction::read, "Input/output error"};
const Fault kErrorWrite{"IoErrorOfAWrite", {.error = core::errno_code(EIO)}, io::Direction::write, "Input/output error"};
const Fault kFull{"FullDrive", {.error = core::errno_code(ENOSPC)}, io::Direction::write, "No space left on device"};
const Fault kEnd{"NoProgress", {.error = io::IoFailure::end_of_file}, io::Direction::read, "no progress: the file ends there"};
const Fault kFlippedRead{"BitFlippedInARead", {.damage = Damage::flipped_bit}, io::Direction::read, "its checksum is "};
const Fault kFlippedWrite{"BitFlippedInAWrite", {.damage = Damage::flipped_bit}, io::Direction::write, "its checksum is "};
const Fault kLost{"LostWrite", {.damage = Damage::lost}, io::Direction::write, "its checksum is "};
const Fault kMisdirected{"MisdirectedWrite", {.damage = Damage::misdirected}, io::Direction::write, "its checksum is "};

// The one request of `op` on the kind's file that meets the fault, once it is armed.
class Trap {
 public:
  Trap(const Fault& fault, Kind kind) : fault_(fault), file_(std::string(store::kKindNames[static_cast<std::size_t>(kind)]) + ".bin") {}
  void arm() { armed_ = true; }
  [[nodiscard]] bool sprang() const { return sprang_; }
  Fate fate(const io::Request& request, const std::string& path) {
    if (request.op != fault_.op || !path.ends_with(file_) || !armed_.exchange(false)) return {};
    sprang_ = true;
    return fault_.fate;
  }

 private:
  const Fault& fault_;
  const std::string file_;
  std::atomic<bool> armed_{false};
  std::atomic<bool> sprang_{false};
};

using Parameters = std::tuple<Fault, Kind, io::EngineChoice>;

std::string name_of(const testing::TestParamInfo<Parameters>& info) {
  const auto& [fault, kind, engine] = info.param;
  return std::string(fault.name) + "_" + store::kKindNames[static_cast<std::size_t>(kind)] +
         (engine == io::EngineChoice::io_uring ? "_Uring" : "_Threads");
}

class FaultMatrix : public testing::TestWithParam<Parameters> {};

// Two graphs in flight, until something is thrown.
Error error_of_training(Rig& rig) {
  try {
    const Started* before = &rig.train();
    for (int i = 0; i < 20; ++i) {
      const Started* now = &rig.train();
      rig.executor().wait_results(before->ticket);
      before = now;
    }
    rig.finish();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorKind::usage, "nothing was thrown");
}

TEST_P(FaultMatrix, StopsTheRunWithOneErrorThatNamesEverything) {
  const auto& [fault, kind, engine] = GetParam();
  const auto device = device::make_cpu_device();
  Trap trap(fault, kind);
  auto setup = ssd_setup();
  setup.slots = 2;
  setup.problem.commits = true;
  setup.engine = engine;
  setup.wrap_engine = [&](std::unique_ptr<io::IoEngine> inside) {
    return std::make_unique<FaultyEngine>(std::move(inside),
                                          [&](const auto& request, const auto& path) { return trap.fate(request, path); });
  };
  Rig rig(setup, *device);
  rig.load();
  for (int i = 0; i < 2; ++i) rig.train();
  rig.finish();
  static_cast<void>(rig.committer().take());
  trap.arm();
  const Error error = error_of_training(rig);
  EXPECT_TRUE(trap.sprang());
  EXPECT_EQ(error.kind(), ErrorKind::storage);
  EXPECT_EQ(error.code(), fault.fate.error);
  const std::string message = error.what();
  const bool damage = fault.fate.damage != Damage::none;
  const std::string operation = damage ? "cannot use what was read of " : fault.op == io::Direction::read ? "cannot read " : "cannot write ";
  const char* const name = store::kKindNames[static_cast<std::size_t>(kind)];
  // A misdirected write damages a neighbour, which may be read first.
  if (fault.fate.damage != Damage::misdirected) {
    EXPECT_THAT(message, HasSubstr(operation + name + " of object "));
  }
  EXPECT_THAT(message, HasSubstr(operation));
  EXPECT_THAT(message, HasSubstr(" bytes at offset "));
  EXPECT_THAT(message, HasSubstr(rig.file_of(kind)));
  EXPECT_THAT(message, HasSubstr(fault.reason));
  EXPECT_EQ(message.find('\n'), std::string::npos);
  for (const auto& attempt : {std::function<void()>([&] { rig.train(); }), std::function<void()>([&] { rig.executor().finish(); })}) {
    EXPECT_THROW(attempt(), Error);
  }
  // Nothing that was committed meanwhile was wrong.
  std::int64_t last = 2;
  for (const ReadingCommitter::Commit& commit : rig.committer().take()) EXPECT_EQ(commit.step, ++last);
  rig.drop_executor();
}

INSTANTIATE_TEST_SUITE_P(OfAnswers, FaultMatrix,
                         testing::Combine(testing::Values(kErrorRead, kErrorWrite, kFull, kEnd),
                                          testing::Values(Kind::weights, Kind::moment1, Kind::moment2, Kind::gradients, Kind::activations),
                                          testing::Values(io::EngineChoice::io_uring, io::EngineChoice::threads)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(OfBytes, FaultMatrix,
                         testing::Combine(testing::Values(kFlippedRead, kFlippedWrite, kLost, kMisdirected),
                                          testing::Values(Kind::weights, Kind::moment1, Kind::moment2, Kind::gradients, Kind::activations),
                                          testing::Values(io::EngineChoice::io_uring, io::EngineChoice::threads)),
                         name_of);

}  // namespace
}  // namespace gsnake::runtime::test
