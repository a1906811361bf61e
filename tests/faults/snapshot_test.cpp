// Going back to an earlier state, as after a loss spike.
#include <gmock/gmock.h>

#include "faults/fault_case.h"

namespace gsnake::test {
namespace {

class SnapshotTest : public FaultTest {
 protected:
  static std::vector<std::string> with_snapshots(std::vector<std::string> more = {}) {
    more.insert(more.end(), {"run.snapshot_every=2", "run.snapshot_keep=2", "train.steps=8"});
    return more;
  }
};

TEST_F(SnapshotTest, ARunGoesBackToOneAndEndsAsIfItHadNeverBeenFurther) {
  ASSERT_EQ(train(with_snapshots()).status, 0);
  const Json inspected = Json::parse(run({"inspect", "run", "--json"}).out);
  EXPECT_EQ(inspected["snapshots"].size(), 2U);
  const Outcome back = train(with_snapshots(), {"--resume-from", "6"});
  ASSERT_EQ(back.status, 0) << back.err;
  EXPECT_EQ(metrics().back()["event"], "end");
  train_undisturbed({"train.steps=8"});
  expect_as_undisturbed();
  EXPECT_EQ(committed_step(), 8);
}

TEST_F(SnapshotTest, AStepThatNoneWasKeptOfIsRefusedWithThoseThatAreThere) {
  ASSERT_EQ(train(with_snapshots()).status, 0);
  expect_one_error_line(train(with_snapshots(), {"--resume-from", "3"}), 2, "6");
  EXPECT_EQ(committed_step(), 8);
}

TEST_F(SnapshotTest, WithoutARunThereIsNothingToGoBackTo) { expect_one_error_line(train(with_snapshots(), {"--resume-from", "3"}), 2, "holds no commit"); }

}  // namespace
}  // namespace gsnake::test
