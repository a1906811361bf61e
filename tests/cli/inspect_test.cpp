// gsnake inspect: the space that a run takes; and what reads a run while it is trained.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <string>

#include "cli/command.h"

namespace gsnake::test {
namespace {

using testing::HasSubstr;

class InspectTest : public CommandTest {
 protected:
  Json inspect(std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"inspect", "run", "--json"});
    const Outcome outcome = run(more);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome.status == 0 ? Json::parse(outcome.out) : Json::object();
  }

  // Of the state's files.
  static std::uint64_t bytes_on_disk(const Json& inspected) {
    std::uint64_t bytes = 0;
    for (const Json& kind : inspected["kinds"]) {
      for (const Json& file : kind["files"]) bytes += std::filesystem::file_size(file["file"].get<std::string>());
    }
    return bytes;
  }

  void expect_space(const std::vector<std::string>& changes, double per_parameter) {
    ASSERT_EQ(train(changes).status, 0);
    const Json inspected = inspect();
    const Json& space = inspected["space"];
    const std::uint64_t parameters = metrics().front()["parameters"];
    EXPECT_EQ(space["parameters"], parameters);
    EXPECT_EQ(space["bytes_per_parameter"], per_parameter);
    EXPECT_EQ(space["state_bytes"], static_cast<std::uint64_t>(per_parameter * static_cast<double>(parameters)));
    EXPECT_EQ(space["total_bytes"], bytes_on_disk(inspected)) << "nothing else lies on SSD";
    EXPECT_EQ(space["state_bytes"].get<std::uint64_t>() + space["padding_bytes"].get<std::uint64_t>(), space["total_bytes"]);
    // Each object is rounded up to 2048 elements, each parameter to 16.
    const std::uint64_t objects = inspected["kinds"][0]["objects"];
    const double most = static_cast<double>(objects) * (2048 + 16 * 20) * per_parameter;
    EXPECT_LT(space["padding_bytes"].get<double>(), most);
    EXPECT_THAT(run({"inspect", "run"}).out, HasSubstr(std::to_string(parameters) + " parameters x " + std::to_string(static_cast<int>(per_parameter)) + " bytes"));
  }
};

TEST_F(InspectTest, ADurableRunTakes24BytesAParameterAndPadding) { expect_space({}, 24.0); }
TEST_F(InspectTest, ARunThatIsNotDurableTakes12) { expect_space({"run.durability=off"}, 12.0); }
TEST_F(InspectTest, Bf16WithTheSplitMasterTakesNoMore) { expect_space({"train.dtype=bf16"}, 24.0); }
TEST_F(InspectTest, Fp16BesideAMasterTakes28) { expect_space({"train.dtype=fp16"}, 28.0); }
TEST_F(InspectTest, Fp16BesideAMasterTakes14WhereItIsNotDurable) { expect_space({"train.dtype=fp16", "train.delay=1", "run.durability=off"}, 14.0); }

TEST_F(InspectTest, TheSpaceNeededOnEachPathIsInTheLogAndInTheFirstLineOfTheMetrics) {
  const Outcome outcome = train({"ssd.paths=[\"one\", \"two\"]", "ssd.weights=[1, 1]"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json paths = metrics().front()["io"]["paths"];
  ASSERT_EQ(paths.size(), 2U);
  std::uint64_t needed = 0;
  for (const Json& path : paths) {
    needed += path["bytes"].get<std::uint64_t>();
    EXPECT_THAT(outcome.err, HasSubstr("SSD " + path["path"].get<std::string>() + ": "));
  }
  EXPECT_GE(needed, inspect()["space"]["total_bytes"].get<std::uint64_t>()) << "scratch comes on top";
}

// What others read of a run must neither disturb it nor be disturbed.
class ReaderCommandTest : public InspectTest, public testing::WithParamInterface<const char*> {
 protected:
  [[nodiscard]] std::vector<std::string> changes(const std::string& steps) const { return {"train.steps=" + steps, GetParam(), "run.commit_every=1"}; }
};

TEST_P(ReaderCommandTest, GenerateVerifyAndExportWorkBesideARunThatEndsAsIfAlone) {
  std::vector<std::string> slow = changes("1000000");  // so that the run alone, which repeats it, does not take long
  slow.push_back("emulate.ssd_write=\"20 MB\"");
  Process trains(folder_, "trains", train_arguments(slow, {}));
  ASSERT_NO_FATAL_FAILURE(wait_for_steps(trains, 3));
  std::set<int> verified;
  std::string text;
  for (int i = 0; i < 4; ++i) {
    const Json inspected = inspect({"--verify"});
    EXPECT_TRUE(inspected["verified"].get<bool>());
    verified.insert(inspected["step"].get<int>());
    const Outcome sampled = run({"generate", "--run", "run", "--prompt", "line", "--tokens", "5", "--log-level", "warn"});
    EXPECT_EQ(sampled.status, 0) << sampled.err;
    text = sampled.out;
    const Outcome exported = run({"export", "--run", "run", "--to", "exported-" + std::to_string(i), "--json", "--log-level", "warn"});
    EXPECT_EQ(exported.status, 0) << exported.err;
    if (exported.status == 0) {
      EXPECT_GE(Json::parse(exported.out)["step"], *verified.rbegin());
    }
    ASSERT_NO_FATAL_FAILURE(wait_for_steps(trains, losses().size() + 2));
  }
  EXPECT_GT(verified.size(), 2U) << "the run commits between the readers";
  EXPECT_EQ(text.rfind("line", 0), 0U);
  trains.signal(SIGTERM);
  const Outcome stopped = trains.wait();
  ASSERT_EQ(stopped.status, 143) << stopped.err;
  const std::size_t steps = losses().size();
  const Json whole = inspect({"--verify"});
  EXPECT_EQ(whole["step"], steps);

  std::vector<std::string> alone = changes(std::to_string(steps));
  alone.insert(alone.end(), {"run.dir=alone", "ssd.paths=[\"alone/ssd\"]"});
  ASSERT_EQ(train(alone).status, 0);
  EXPECT_EQ(losses(), losses("alone"));
  const std::string last = "train.steps=" + std::to_string(steps + 2);
  for (const char* where : {"run", "alone"}) {
    const std::vector<std::string> more{last, GetParam(), std::string("run.dir=") + where, std::string("ssd.paths=[\"") + (where == std::string("run") ? "ssd" : "alone/ssd") + "\"]"};
    ASSERT_EQ(train(more).status, 0);
  }
  EXPECT_EQ(losses(), losses("alone")) << "weights and moments are those of the run that nobody read";
}

INSTANTIATE_TEST_SUITE_P(Delays, ReaderCommandTest, testing::Values("train.delay=0", "train.delay=0.5", "train.delay=1"),
                         [](const auto& instance) { return "Delay" + std::to_string(instance.index); });

// The flock that a reader has.
class HeldPin {
 public:
  explicit HeldPin(const std::filesystem::path& first_path) : fd_(::open((first_path / "gsnake-pin").c_str(), O_RDONLY | O_CLOEXEC)) {
    EXPECT_EQ(::flock(fd_, LOCK_SH), 0);
  }
  HeldPin(const HeldPin&) = delete;
  HeldPin& operator=(const HeldPin&) = delete;
  ~HeldPin() { ::close(fd_); }

 private:
  int fd_;
};

class LongReaderTest : public ReaderCommandTest {
 protected:
  [[nodiscard]] Json last_step() const {
    Json last;
    for (const Json& line : metrics()) {
      if (line.is_object() && line.contains("committed_step") && !line.contains("event")) last = line;
    }
    return last;
  }
};

// A reader that holds on: the run trains on, commits nothing, and is committed at its end all the same.
TEST_P(LongReaderTest, ARunThatIsReadForLongTrainsOnAndIsCommittedAtItsEnd) {
  Process trains(folder_, "trains", train_arguments(changes("1000000"), {}));
  ASSERT_NO_FATAL_FAILURE(wait_for_steps(trains, 3));
  {
    const HeldPin pin(folder_ / "ssd");
    ASSERT_NO_FATAL_FAILURE(wait_for_steps(trains, losses().size() + 6));
    EXPECT_LT(last_step()["committed_step"].get<int>(), last_step()["step"].get<int>() - 3) << "no commit takes the place of what is read";
    trains.signal(SIGINT);
    const Outcome stopped = trains.wait();
    ASSERT_EQ(stopped.status, 130) << stopped.err;
    EXPECT_THAT(stopped.err, HasSubstr("another process reads the commit of step"));
    EXPECT_EQ(last_step()["committed_step"], losses().size());
  }
  const std::vector<std::string> more = changes(std::to_string(losses().size() + 3));
  ASSERT_EQ(train(more).status, 0);
  std::vector<std::string> alone = more;
  alone.insert(alone.end(), {"run.dir=alone", "ssd.paths=[\"alone/ssd\"]"});
  ASSERT_EQ(train(alone).status, 0);
  EXPECT_EQ(losses(), losses("alone"));
}

INSTANTIATE_TEST_SUITE_P(Delays, LongReaderTest, testing::Values("train.delay=0", "train.delay=0.5"),
                         [](const auto& instance) { return "Delay" + std::to_string(instance.index); });

}  // namespace
}  // namespace gsnake::test
