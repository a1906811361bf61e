// That shares are found again from what they make of pairs.
#include "measure/share_fit.h"

#include <gtest/gtest.h>

namespace gsnake::measure {
namespace {

// Eight cores, four optimizer threads that nearly fill memory's bandwidth, copies on a core each.
sim::MachineProfile machine() {
  sim::MachineProfile profile;
  profile.cpu.cores = 8;
  profile.cpu.dram = 100e9;
  profile.optimizer.threads = 4;
  profile.optimizer.rates = {{"fp32", 20e9}};
  profile.optimizer.share = {1.0, 1.0};
  profile.h2d = {10e9, 0.0, {1.0, 2.0}};
  profile.d2h = {8e9, 0.0, {1.0, 2.0}};
  profile.ssds = {{"/a", "", {{1, 2e9}, {16, 6e9}}, {{1, 1e9}, {16, 4e9}}, 1.5, 0.0}};
  profile.ssd_share = {0.5, 2.0};
  return profile;
}

std::vector<Pair> pairs_of(const sim::MachineProfile& profile) {
  std::vector<Pair> pairs;
  for (const Partner partner : {Partner::optimizer, Partner::drives, Partner::copies}) pairs.push_back(modelled_pair(partner, profile, {}));
  return pairs;
}

void expect_explained(const std::vector<FittedPair>& fitted) {
  for (const FittedPair& pair : fitted) {
    EXPECT_NEAR(pair.modelled.compute, pair.measured.compute, 0.02) << name_of(pair.measured.partner);
    EXPECT_NEAR(pair.modelled.other, pair.measured.other, 0.02) << name_of(pair.measured.partner);
  }
}

TEST(ShareFit, FindsTheCoresOfComputingAgain) {
  for (const double cores : {5.0, 6.0, 7.0, 8.0}) {
    sim::MachineProfile profile = machine();
    profile.compute.share = {cores, 0.0};
    const std::vector<Pair> pairs = pairs_of(profile);
    ASSERT_LT(pairs[0].compute, 1.0) << cores;
    profile.compute.share = {};
    const auto fitted = fit_compute_share(profile, {}, pairs, {.compute_threads = 8, .compute_cores = cores});
    EXPECT_NEAR(profile.compute.share.cores, cores, 0.3);
    expect_explained(fitted);
  }
}

TEST(ShareFit, FindsTheBandwidthOfComputingAgain) {
  for (const double dram : {40e9, 60e9, 80e9}) {
    sim::MachineProfile profile = machine();
    profile.compute.share = {2.0, dram};
    const std::vector<Pair> pairs = pairs_of(profile);
    ASSERT_LT(pairs[0].compute, 1.0) << dram;
    profile.compute.share = {};
    const auto fitted = fit_compute_share(profile, {}, pairs, {.compute_threads = 8, .compute_cores = 2.0});
    EXPECT_NEAR(profile.compute.share.cores, 2.0, 0.3);
    EXPECT_NEAR(profile.compute.share.dram, dram, 5e9);
    expect_explained(fitted);
  }
}

TEST(ShareFit, FindsWhetherAWriteReadsFirst) {
  for (const double copied : {2.0, 3.0}) {
    sim::MachineProfile profile = machine();
    profile.compute.share = {2.0, 75e9};
    profile.h2d.share.dram = profile.d2h.share.dram = copied;
    const std::vector<Pair> pairs = pairs_of(profile);
    profile.compute.share = {};
    fit_compute_share(profile, {}, pairs, {.compute_threads = 8, .compute_cores = 2.0});
    EXPECT_EQ(profile.h2d.share.dram, copied);
    EXPECT_EQ(profile.d2h.share.dram, copied);
  }
}

TEST(ShareFit, LeavesTheCopiesOfAGpu) {
  sim::MachineProfile profile = machine();
  profile.h2d.share.dram = profile.d2h.share.dram = 1.0;
  profile.compute.share = {1.0, 0.0};
  const std::vector<Pair> pairs = pairs_of(profile);
  fit_compute_share(profile, {}, pairs, {.compute_threads = 1, .compute_cores = 0.5, .copies_on_cpu = false});
  EXPECT_EQ(profile.h2d.share.dram, 1.0);
  EXPECT_NEAR(profile.compute.share.cores, 0.5, 0.03);
}

// Nothing slows anything: what was seen of its threads decides.
TEST(ShareFit, TakesTheCoresThatWereBusyWhereNoPairTells) {
  sim::MachineProfile profile = machine();
  const auto fitted = fit_compute_share(profile, {}, {{Partner::copies, 1.0, 1.0}}, {.compute_threads = 8, .compute_cores = 3.0});
  EXPECT_NEAR(profile.compute.share.cores, 3.0, 0.11);
  EXPECT_EQ(profile.compute.share.dram, 0.0);
  expect_explained(fitted);
}

}  // namespace
}  // namespace gsnake::measure
