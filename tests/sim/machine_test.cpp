// What a machine's profile comes to for a run.
#include "sim/machine.h"

#include <gtest/gtest.h>

namespace gsnake::sim {
namespace {

// Of no bytes: what is left is what waking threads takes.
double seconds_of_nothing(Lane lane, bool checked) {
  MachineProfile profile;
  profile.cpu.hand_over = 2e-5;
  profile.compute.rates = {{"fp32", 1.0, 0.0}};
  profile.h2d = {1e9, 0.0, {.cores = 1.0, .dram = 2.0}};
  profile.ssds = {{"", "", {{1.0, 1e9}}, {{1.0, 1e9}}, 1.0, 0.0}};
  profile.ssd_share = {.cores = 0.5, .dram = 2.0};
  Workload workload;
  workload.checked = checked;
  schedule::Task task;
  task.lane = lane;
  return machine_of(profile, workload).seconds(task);
}

// On half of a core, that takes twice as long.
TEST(ProfileMachine, WakesAThreadForATaskAndAgainForAReadThatIsChecked) {
  EXPECT_DOUBLE_EQ(seconds_of_nothing(Lane::h2d, true), 2e-5);
  EXPECT_DOUBLE_EQ(seconds_of_nothing(Lane::ssd_write, true), 4e-5);
  EXPECT_DOUBLE_EQ(seconds_of_nothing(Lane::ssd_read, false), 4e-5);
  EXPECT_DOUBLE_EQ(seconds_of_nothing(Lane::ssd_read, true), 8e-5);
}

}  // namespace
}  // namespace gsnake::sim
