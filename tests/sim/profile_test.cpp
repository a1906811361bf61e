// Machine profiles: what a file may say, and what is made of it.
#include "sim/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "greedysnake/error.h"
#include "temporary_folder.h"

namespace gsnake::sim {
namespace {

TEST(ComputeRates, GoThroughBothThatWereMeasured) {
  for (const double half : {0.0, 10.0, 64.0, 300.0}) {
    const auto at = [&](double tokens) { return TokenRate{tokens, 1e12 * tokens / (tokens + half)}; };
    const ComputeRate found = rate_through("bf16", at(128), at(512));
    EXPECT_EQ(found.dtype, "bf16");
    EXPECT_NEAR(found.half_tokens, half, 1e-6 * 512);
    EXPECT_NEAR(found.per_second, 1e12, 1e3);
  }
  const ComputeRate falling = rate_through("bf16", {128, 2e12}, {512, 1e12});
  EXPECT_EQ(falling.half_tokens, 0.0);
  EXPECT_EQ(falling.per_second, 1e12);
  const ComputeRate noise = rate_through("bf16", {128, 1e12}, {512, 9e12});
  EXPECT_GT(noise.half_tokens, 0.0);
  EXPECT_LT(noise.half_tokens, 1e5);
  const ComputeRate one = rate_through("bf16", {1, 1e9}, {1, 1e9});  // tokens that have no quarter
  EXPECT_EQ(one.half_tokens, 0.0);
  EXPECT_EQ(one.per_second, 1e9);
}

using testing::AllOf;
using testing::HasSubstr;

// Every member has a value of its own.
MachineProfile full_profile() {
  MachineProfile profile;
  profile.name = "two \"big\" machines\\\n";
  profile.source = "data sheets";
  profile.key = "0123abcd";
  profile.cpu = {.name = "some CPU", .cores = 31.5, .dram = 1.9e11, .memory = 137'438'953'472, .crowding = 2.5, .hand_over = 1.5e-5, .favour = 1.25};
  profile.compute.rest = {.after = 0.03, .factor = 3.25, .work = 0.015};
  profile.compute.device = "some GPU";
  profile.compute.memory = 85'899'345'920;
  profile.compute.unified = true;
  profile.compute.latency = 1.25e-5;
  profile.compute.updates = 2.5e12;
  profile.compute.rates = {{"bf16", 3.12e14, 1234.5}, {"fp32", 1.95e13, 0.0}};
  profile.compute.units = {{"block 0011", {0.1, 0.3, 0.05}}, {"head 22", {0.7, 0.0, 0.0}}};
  profile.compute.share = {.cores = 1.0, .dram = 3.3e9};
  profile.h2d = {2.4e10, 1e-5, {0.25, 2.0}};
  profile.d2h = {2.2e10, 2e-5, {0.125, 3.0}};
  profile.optimizer.threads = 16;
  profile.optimizer.latency = 3e-6;
  profile.optimizer.rates = {{"fp32", 1.1e10}, {"bf16", 9.7e9}, {"fp16", 1.0 / 3.0 * 1e10}};
  profile.optimizer.share = {.cores = 1.5, .dram = 1.25};
  profile.link = {.per_second = 1.2e10, .latency = 4e-5, .adds = 2.5e10, .bus = 1.5, .share = {0.75, 4.0}};
  profile.ssds = {{"/a", "one", {{1, 1e9}, {16, 3.1e9}}, {{2, 2e9}}, 1.25, 600.0}, {"/b", "two", {}, {{1, 5e8}, {2, 1e9}, {4, 1.5e9}}, 2.0, 0.0}};
  profile.ssd_share = {.cores = 0.2, .dram = 1.75};
  profile.ssd_latency = 8e-5;
  profile.commit_latency = 0.011;
  profile.commit_waits = 4;
  return profile;
}

void expect_equal(const Share& a, const Share& b) {
  EXPECT_EQ(a.cores, b.cores);
  EXPECT_EQ(a.dram, b.dram);
}

void expect_equal(const CopyProfile& a, const CopyProfile& b) {
  EXPECT_EQ(a.per_second, b.per_second);
  EXPECT_EQ(a.latency, b.latency);
  expect_equal(a.share, b.share);
}

void expect_equal(const RateCurve& a, const RateCurve& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].in_flight, b[i].in_flight);
    EXPECT_EQ(a[i].per_second, b[i].per_second);
  }
}

void expect_equal(const ComputeProfile& a, const ComputeProfile& b) {
  EXPECT_EQ(a.device, b.device);
  EXPECT_EQ(a.memory, b.memory);
  EXPECT_EQ(a.unified, b.unified);
  EXPECT_EQ(a.latency, b.latency);
  EXPECT_EQ(a.updates, b.updates);
  expect_equal(a.share, b.share);
  ASSERT_EQ(a.rates.size(), b.rates.size());
  for (std::size_t i = 0; i < a.rates.size(); ++i) {
    EXPECT_EQ(a.rates[i].dtype, b.rates[i].dtype);
    EXPECT_EQ(a.rates[i].per_second, b.rates[i].per_second);
    EXPECT_EQ(a.rates[i].half_tokens, b.rates[i].half_tokens);
  }
  ASSERT_EQ(a.units.size(), b.units.size());
  for (std::size_t i = 0; i < a.units.size(); ++i) {
    EXPECT_EQ(a.units[i].key, b.units[i].key);
    EXPECT_EQ(a.units[i].seconds.forward, b.units[i].seconds.forward);
    EXPECT_EQ(a.units[i].seconds.opening, b.units[i].seconds.opening);
    EXPECT_EQ(a.units[i].seconds.backward, b.units[i].seconds.backward);
  }
}

void expect_equal(const OptimizerProfile& a, const OptimizerProfile& b) {
  EXPECT_EQ(a.threads, b.threads);
  EXPECT_EQ(a.latency, b.latency);
  expect_equal(a.share, b.share);
  ASSERT_EQ(a.rates.size(), b.rates.size());
  for (std::size_t i = 0; i < a.rates.size(); ++i) {
    EXPECT_EQ(a.rates[i].dtype, b.rates[i].dtype);
    EXPECT_EQ(a.rates[i].per_second, b.rates[i].per_second);
  }
}

void expect_equal(const MachineProfile& a, const MachineProfile& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.source, b.source);
  EXPECT_EQ(a.key, b.key);
  EXPECT_EQ(a.cpu.name, b.cpu.name);
  EXPECT_EQ(a.cpu.cores, b.cpu.cores);
  EXPECT_EQ(a.cpu.dram, b.cpu.dram);
  EXPECT_EQ(a.cpu.memory, b.cpu.memory);
  EXPECT_EQ(a.cpu.crowding, b.cpu.crowding);
  EXPECT_EQ(a.cpu.hand_over, b.cpu.hand_over);
  EXPECT_EQ(a.cpu.favour, b.cpu.favour);
  EXPECT_EQ(a.compute.rest.after, b.compute.rest.after);
  EXPECT_EQ(a.compute.rest.factor, b.compute.rest.factor);
  EXPECT_EQ(a.compute.rest.work, b.compute.rest.work);
  expect_equal(a.compute, b.compute);
  expect_equal(a.h2d, b.h2d);
  expect_equal(a.d2h, b.d2h);
  expect_equal(a.optimizer, b.optimizer);
  EXPECT_EQ(a.link.per_second, b.link.per_second);
  EXPECT_EQ(a.link.latency, b.link.latency);
  EXPECT_EQ(a.link.adds, b.link.adds);
  EXPECT_EQ(a.link.bus, b.link.bus);
  expect_equal(a.link.share, b.link.share);
  ASSERT_EQ(a.ssds.size(), b.ssds.size());
  for (std::size_t i = 0; i < a.ssds.size(); ++i) {
    EXPECT_EQ(a.ssds[i].path, b.ssds[i].path);
    EXPECT_EQ(a.ssds[i].drive, b.ssds[i].drive);
    expect_equal(a.ssds[i].read, b.ssds[i].read);
    expect_equal(a.ssds[i].write, b.ssds[i].write);
    EXPECT_EQ(a.ssds[i].both, b.ssds[i].both);
    EXPECT_EQ(a.ssds[i].rated_terabytes, b.ssds[i].rated_terabytes);
  }
  expect_equal(a.ssd_share, b.ssd_share);
  EXPECT_EQ(a.ssd_latency, b.ssd_latency);
  EXPECT_EQ(a.commit_latency, b.commit_latency);
  EXPECT_EQ(a.commit_waits, b.commit_waits);
}

std::string refusal(const std::string& toml) {
  try {
    static_cast<void>(parse_profile(toml, "some.toml"));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.what();
  }
  return "accepted";
}

TEST(MachineProfileFile, KeepsEveryMember) {
  expect_equal(parse_profile(to_toml(full_profile()), "text"), full_profile());
  expect_equal(parse_profile(to_toml({}), "text"), {});
}

TEST(MachineProfileFile, IsSavedAndLoaded) {
  const test::TemporaryFolder folder;
  save_profile({}, folder / "machine.toml");
  save_profile(full_profile(), folder / "machine.toml");
  expect_equal(load_profile(folder / "machine.toml"), full_profile());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(MachineProfileFile, RefusesAPlaceWhereItCannotBeSaved) {
  const test::TemporaryFolder folder;
  try {
    save_profile({}, folder / "no folder/machine.toml");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::storage);
    EXPECT_THAT(error.what(), HasSubstr("no folder"));
  }
}

TEST(MachineProfileFile, RefusesAFileThatCannotBeRead) {
  const test::TemporaryFolder folder;
  for (const std::string& path : {folder / "absent.toml", folder.path()}) {
    try {
      static_cast<void>(load_profile(path));
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input);
      EXPECT_THAT(error.what(), HasSubstr(path));
      EXPECT_TRUE(error.code());
    }
  }
}

TEST(MachineProfileFile, TakesRatesAsPeopleWriteThem) {
  const MachineProfile profile = parse_profile(R"(
cpu = { dram = "200 GB/s", memory = "128 GiB" }
compute.rates = [{ dtype = "bf16", per_second = "312 TFLOP/s" }]
h2d.per_second = 25_000_000_000
optimizer.rates = [{ dtype = "bf16", per_second = "11 GB/s" }]
[[ssds]]
read = "7 GB/s"
write = [[1, "1.5 GB/s"], [4, 3e9]]
)",
                                               "text");
  EXPECT_EQ(profile.cpu.dram, 2e11);
  EXPECT_EQ(profile.cpu.memory, 128ULL << 30);
  EXPECT_EQ(profile.flops_per_second("bf16", 1), 3.12e14);
  EXPECT_EQ(profile.h2d.per_second, 2.5e10);
  EXPECT_EQ(profile.optimizer.rates.at(0).per_second, 1.1e10);
  expect_equal(profile.ssds.at(0).read, {{1, 7e9}});
  expect_equal(profile.ssds.at(0).write, {{1, 1.5e9}, {4, 3e9}});
}

TEST(MachineProfileFile, RefusesUnknownKeysWithTheNearestOne) {
  EXPECT_EQ(refusal("nmae = \"x\""), "unknown key nmae in some.toml:1; did you mean name?");
  EXPECT_EQ(refusal("[cpu]\ncorse = 4"), "unknown key cpu.corse in some.toml:2; did you mean cpu.cores?");
  EXPECT_EQ(refusal("[[compute.units]]\nkey = \"x\"\nforwards = 1"), "unknown key compute.units.forwards in some.toml:3; did you mean compute.units.forward?");
  EXPECT_EQ(refusal("[ssd]\nfrobnicate = 4"), "unknown key ssd.frobnicate in some.toml:2; there are cores, dram, latency, commit_latency, commit_waits");
}

TEST(MachineProfileFile, RefusesValuesOutOfRangeWithWhatIsAllowed) {
  EXPECT_EQ(refusal("[[ssds]]\nboth = 2.5"), "ssds.both = 2.5 in some.toml:2: must be a number >= 1 and <= 2");
  EXPECT_EQ(refusal("[cpu]\ncores = -1"), "cpu.cores = -1 in some.toml:2: must be a number >= 0");
  EXPECT_THAT(refusal("[cpu]\ncores = nan"), HasSubstr("cpu.cores"));
  EXPECT_THAT(refusal("[cpu]\ncores = inf"), HasSubstr("cpu.cores"));
  EXPECT_THAT(refusal("[cpu]\ncores = \"2 GB/s\""), HasSubstr("cpu.cores"));
  EXPECT_THAT(refusal("[cpu]\nmemory = -5"), HasSubstr("cpu.memory"));
  EXPECT_THAT(refusal("[cpu]\nmemory = \"9000 PiB\""), HasSubstr("below 2^63"));
  EXPECT_EQ(refusal("[compute]\nunified = 1"), "compute.unified = 1 in some.toml:2: must be true or false");
  EXPECT_THAT(refusal("[h2d]\nper_second = \"fast\""), AllOf(HasSubstr("h2d.per_second = 'fast'"), HasSubstr("24 GB/s")));
  EXPECT_THAT(refusal("[optimizer]\nthreads = 0"), HasSubstr("optimizer.threads = 0 in some.toml:2: must be an integer in 1..4096"));
  EXPECT_THAT(refusal("[[optimizer.rates]]\ndtype = \"int8\"\nper_second = 1"), HasSubstr("must be fp32, bf16, fp16"));
  EXPECT_THAT(refusal("[[compute.rates]]\ndtype = \"bf16\"\nper_second = 0"), HasSubstr("compute.rates.per_second"));
}

TEST(MachineProfileFile, RefusesOtherShapes) {
  EXPECT_THAT(refusal("cpu = 5"), HasSubstr("cpu = 5 in some.toml:1: it is a table"));
  EXPECT_THAT(refusal("ssds = 5"), HasSubstr("ssds = 5 in some.toml:1: must be an array of tables"));
  EXPECT_THAT(refusal("compute.rates = [1]"), HasSubstr("compute.rates"));
  EXPECT_THAT(refusal("[cpu"), HasSubstr("some.toml:1:5: not valid TOML"));
}

TEST(MachineProfileFile, RefusesCurvesThatAreNone) {
  for (const char* curve : {"[[1, 2, 3]]", "[1, 2]", "[[2, 1e9], [1, 2e9]]", "[[1, 1e9], [1, 2e9]]", "[[0, 1e9]]", "[[1, 0]]", "-1", "true"}) {
    EXPECT_THAT(refusal(std::string("[[ssds]]\nread = ") + curve), HasSubstr("ssds.read")) << curve;
  }
  EXPECT_EQ(refusal("[[ssds]]\nread = 0"), "accepted");
}

TEST(MachineProfileFile, RefusesRowsThatLackANameOrRepeatOne) {
  EXPECT_THAT(refusal("[[compute.units]]\nforward = 1"), HasSubstr("lacks compute.units.key"));
  EXPECT_THAT(refusal("[[compute.rates]]\ndtype = \"bf16\""), HasSubstr("lacks compute.rates.per_second"));
  EXPECT_THAT(refusal("optimizer.rates = [{dtype = \"bf16\", per_second = 1}, {dtype = \"bf16\", per_second = 2}]"),
              HasSubstr("optimizer.rates.dtype = \"bf16\" in some.toml:1: an entry before it has the same"));
}

TEST(MachineProfile, ReadsACurveBetweenItsPoints) {
  const RateCurve curve{{2, 100}, {4, 300}, {8, 400}};
  EXPECT_EQ(rate_at(curve, 1), 100);
  EXPECT_EQ(rate_at(curve, 2), 100);
  EXPECT_EQ(rate_at(curve, 3), 200);
  EXPECT_EQ(rate_at(curve, 4), 300);
  EXPECT_EQ(rate_at(curve, 5), 325);
  EXPECT_EQ(rate_at(curve, 8), 400);
  EXPECT_EQ(rate_at(curve, 100), 400);
  EXPECT_EQ(rate_at({}, 4), 0);
}

TEST(MachineProfile, ComputesSlowerWithFewTokens) {
  MachineProfile profile;
  profile.compute.rates = {{"bf16", 100, 512}};
  EXPECT_EQ(profile.flops_per_second("bf16", 512), 50);
  EXPECT_EQ(profile.flops_per_second("bf16", 1536), 75);
  EXPECT_EQ(profile.flops_per_second("bf16", 0), 0);
  EXPECT_EQ(profile.flops_per_second("fp16", 512), 0);
}

TEST(MachineProfile, FindsAUnitByItsKey) {
  const MachineProfile profile = full_profile();
  ASSERT_NE(profile.find_unit("head 22"), nullptr);
  EXPECT_EQ(profile.find_unit("head 22")->forward, 0.7);
  EXPECT_EQ(profile.find_unit("head 2"), nullptr);
}

TEST(MachineProfile, AddsItsDrivesUp) {
  MachineProfile profile;
  profile.ssds = {{"/a", "A", {{1, 10}, {3, 30}}, {{1, 5}}, 1.0, 100}, {"/b", "B", {{2, 10}}, {{1, 5}}, 2.0, 50}};
  const SsdProfile all = profile.drives();
  expect_equal(all.read, {{1, 20}, {2, 30}, {3, 40}});
  expect_equal(all.write, {{1, 10}});
  EXPECT_EQ(all.both, 1.25);
  EXPECT_EQ(all.rated_terabytes, 150);
  EXPECT_EQ(all.path, "/a + /b");
  EXPECT_EQ(all.drive, "A + B");
}

TEST(MachineProfile, KnowsNoLimitOfDrivesWhereOneHasNone) {
  MachineProfile profile;
  EXPECT_TRUE(profile.drives().read.empty());
  EXPECT_TRUE(profile.drives().write.empty());
  EXPECT_EQ(profile.drives().rated_terabytes, 0);
  profile.ssds = {{"", "", {{1, 10}}, {{1, 5}}, 1.0, 100}, {"", "", {{1, 20}}, {}, 1.0, 0}};
  expect_equal(profile.drives().read, {{1, 30}});
  EXPECT_TRUE(profile.drives().write.empty());
  EXPECT_EQ(profile.drives().rated_terabytes, 0);
}

// Each of two ranks has half of what is shared, and as much in flight as it would have alone.
TEST(MachineProfile, IsSharedByTheRanksOnIt) {
  const MachineProfile whole = full_profile();
  expect_equal(share_of(whole, 1, {}), whole);
  MachineProfile half = whole;
  half.cpu.cores = whole.cpu.cores / 2;
  half.cpu.dram = whole.cpu.dram / 2;
  half.cpu.memory = whole.cpu.memory / 2;
  half.optimizer.threads = 8;
  half.ssds[0].read = {{0.5, 5e8}, {8, 1.55e9}};
  half.ssds[0].write = {{1, 1e9}};
  half.ssds[0].rated_terabytes = 300.0;
  half.ssds[1].write = {{0.5, 2.5e8}, {1, 5e8}, {2, 7.5e8}};
  expect_equal(share_of(whole, 2, {}), half);
  EXPECT_EQ(share_of(whole, 32, {}).optimizer.threads, 1);
}

TEST(MachineProfile, LeavesARankTheDrivesThatAreItsOwn) {
  const MachineProfile whole = full_profile();
  expect_equal(share_of(whole, 4, {true}).ssds[0].read, whole.ssds[0].read);
  expect_equal(share_of(whole, 4, {true}).ssds[1].write, whole.ssds[1].write);
  const MachineProfile mixed = share_of(whole, 4, {false, true});
  expect_equal(mixed.ssds[0].write, {{0.5, 5e8}});
  EXPECT_EQ(mixed.ssds[0].rated_terabytes, 150.0);
  expect_equal(mixed.ssds[1].write, whole.ssds[1].write);
}

}  // namespace
}  // namespace gsnake::sim
