#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "cli/command.h"

namespace gsnake::test {
namespace {

using testing::HasSubstr;

// More steps than any test waits for.
constexpr const char* kForever = "train.steps=1000000";

class TrainTest : public CommandTest {
 protected:
  // Steps that trace.json has tasks of; 0 stands for what belongs to none.
  [[nodiscard]] std::set<int> traced_steps() const {
    std::ifstream file(folder_ / "run/trace.json");
    std::set<int> steps;
    const Json trace = Json::parse(file);
    for (const Json& event : trace["traceEvents"]) {
      if (event.value("ph", "") == "X") steps.insert(event["args"]["step"].get<int>());
    }
    return steps;
  }
};

TEST_F(TrainTest, WritesAStartLineAStepLineEachAndAnEndLine) {
  const Outcome outcome = train();
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const std::vector<Json> lines = metrics();
  ASSERT_EQ(lines.size(), 8U);
  EXPECT_EQ(lines.front()["event"], "start");
  EXPECT_EQ(lines.front()["config"]["model"]["hidden"], 64);
  for (const char* key : {"machine", "io", "memory", "delay", "parameters"}) EXPECT_TRUE(lines.front().contains(key)) << key;
  for (std::size_t step = 1; step <= 6; ++step) EXPECT_EQ(lines[step]["step"], step);
  EXPECT_EQ(lines.back()["event"], "end");
  EXPECT_EQ(lines.back()["exit_status"], 0);
}

// On a libcufile of the tests: there is no other without a GPU.
TEST_F(TrainTest, ThroughCuFileHasTheSameLossesAndSaysHowDataGoes) {
  ASSERT_EQ(train({"ssd.engine=threads"}).status, 0);
  const Outcome outcome = train({"ssd.engine=cufile", "run.dir=other", "ssd.paths=other/ssd"}, {}, {{std::string("GSNAKE_CUFILE=") + FAKE_CUFILE}, nullptr});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr(std::string("I/O by cufile: ") + FAKE_CUFILE + " 1.15, direct path to the GPU by nvidia-fs 2.24; probed"));
  const Json io = metrics("other").front()["io"];
  EXPECT_EQ(io["engine"], "cufile");
  EXPECT_EQ(io["registered"], true);
  EXPECT_EQ(losses("other"), losses());
}

TEST_F(TrainTest, StepLinesHoldEveryFieldOfTheInterface) {
  ASSERT_EQ(train().status, 0);
  for (const Json& line : metrics()) {
    if (line.contains("event")) continue;
    for (const char* key :
         {"step", "loss", "grad_norm", "learning_rate", "tokens", "step_ms", "tokens_per_second", "ssd_read_bytes", "ssd_write_bytes",
          "h2d_bytes", "d2h_bytes", "host_peak_bytes", "device_peak_bytes", "committed_step", "delay", "loss_scale"}) {
      EXPECT_TRUE(line.contains(key) && line[key].is_number()) << key << " in " << line;
    }
    EXPECT_FALSE(line["skipped"].get<bool>());
    EXPECT_TRUE(line.contains("predicted_ms"));
    EXPECT_EQ(line["tokens"], 2 * 2 * 32);
    EXPECT_GT(line["lanes"]["compute"].get<double>(), 0.0);
    EXPECT_GT(line["ssd_read_bytes"].get<double>(), 0.0);
  }
}

TEST_F(TrainTest, CommitsAreMadeWhileStepsRunAndTheLastLineFollowsTheLast) {
  ASSERT_EQ(train({"train.steps=12"}).status, 0);
  const std::vector<Json> lines = metrics();
  ASSERT_EQ(lines.size(), 14U);
  std::int64_t committed = 0;
  for (std::size_t step = 1; step <= 12; ++step) {
    EXPECT_GE(lines[step]["committed_step"], committed);
    EXPECT_LE(lines[step]["committed_step"], step);
    committed = lines[step]["committed_step"];
  }
  EXPECT_GT(lines[11]["committed_step"], 0);
  EXPECT_EQ(committed, 12);
}

TEST_F(TrainTest, WithoutDurabilityOnlyTheEndIsCommitted) {
  ASSERT_EQ(train({"run.durability=off"}).status, 0);
  const std::vector<Json> lines = metrics();
  ASSERT_EQ(lines.size(), 8U);
  EXPECT_EQ(lines[5]["committed_step"], 0);
  EXPECT_EQ(lines[6]["committed_step"], 6);
}

TEST_F(TrainTest, StdoutHoldsTheResultAndStderrTheLog) {
  const Outcome text = train();
  EXPECT_THAT(text.out, testing::StartsWith("step 6 of 6: loss "));
  EXPECT_THAT(text.err, HasSubstr("step 1/6"));
  const Outcome json = train({}, {"--resume", "never", "--overwrite", "--json", "--log-level", "error"});
  EXPECT_EQ(Json::parse(json.out)["step"], 6);
  EXPECT_EQ(json.err, "");
}

TEST_F(TrainTest, ValidationIsMeasuredEverySoManyStepsAndAtTheEnd) {
  const Outcome outcome = train({"data.validation=corpus.txt", "train.validate_every=4", "train.validation_batches=3"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  for (const Json& line : metrics()) {
    if (line.contains("event")) continue;
    EXPECT_EQ(line.contains("validation_loss"), line["step"] == 4 || line["step"] == 6) << line;
  }
}

TEST_F(TrainTest, ValidationDoesNotChangeTheLosses) {
  ASSERT_EQ(train().status, 0);
  ASSERT_EQ(train({"run.dir=validated", "ssd.paths=validated-ssd", "data.validation=corpus.txt", "train.validate_every=2"}).status, 0);
  EXPECT_EQ(losses("validated"), losses());
}

TEST_F(TrainTest, AResumedRunGoesOnAsIfItHadNeverStopped) {
  ASSERT_EQ(train({"train.steps=10"}).status, 0);
  for (const char* steps : {"train.steps=4", "train.steps=10"}) {
    const Outcome outcome = train({steps, "run.dir=twice", "ssd.paths=twice-ssd"});
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }
  EXPECT_EQ(losses("twice"), losses());
  const std::vector<Json> lines = metrics("twice");
  ASSERT_GT(lines.size(), 6U);
  EXPECT_EQ(lines[6]["event"], "resume");
  EXPECT_EQ(lines[6]["step"], 4);
}

TEST_F(TrainTest, ARunThatIsThereAlreadyHasNothingToDo) {
  ASSERT_EQ(train().status, 0);
  const Outcome again = train();
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("no step was trained"));
  EXPECT_EQ(losses().size(), 6U);
}

struct Stop {
  const char* name;
  int signal_number;
  int status;
};
class StopTest : public CommandTest, public testing::WithParamInterface<Stop> {};

TEST_P(StopTest, CommitsAndGoesOnLaterWithTheSameLosses) {
  Process process(folder_, "stopped", train_arguments({kForever}, {}));
  ASSERT_NO_FATAL_FAILURE(wait_for_steps(process, 3));
  process.signal(GetParam().signal_number);
  const Outcome stopped = process.wait();
  EXPECT_EQ(stopped.status, GetParam().status) << stopped.err;
  const std::size_t steps = losses().size();
  const std::vector<Json> lines = metrics();
  EXPECT_EQ(lines.back()["exit_status"], GetParam().status);
  EXPECT_EQ(lines[lines.size() - 2]["committed_step"], steps);

  const std::string more = "train.steps=" + std::to_string(steps + 3);
  const Outcome resumed = train({more}, {"--resume", "must"});
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  ASSERT_EQ(train({more, "run.dir=whole", "ssd.paths=whole-ssd"}).status, 0);
  EXPECT_EQ(losses(), losses("whole"));
}

INSTANTIATE_TEST_SUITE_P(Signals, StopTest, testing::Values(Stop{"Int", SIGINT, 130}, Stop{"Term", SIGTERM, 143}, Stop{"Hup", SIGHUP, 129}),
                         [](const auto& stop) { return stop.param.name; });

// As `gsnake train ... 2>&1 | head -1`.
TEST_F(TrainTest, ALogThatNobodyReadsAnyMoreEndsNothing) {
  std::string line = "cd '" + folder_.string() + "' && (" GSNAKE_COMMAND;
  for (const std::string& argument : train_arguments({"train.steps=8"}, {})) line += " '" + argument + "'";
  ASSERT_EQ(std::system((line + "; echo $? > status) 2>&1 | head -1 > /dev/null").c_str()), 0);
  int status = -1;
  std::ifstream(folder_ / "status") >> status;
  EXPECT_EQ(status, 0);
  EXPECT_EQ(losses().size(), 8U);
  EXPECT_EQ(metrics().back()["committed_step"], 8);
}

TEST_F(TrainTest, ASignalThatTheProcessIgnoresStaysIgnored) {
  Process process(folder_, "ignoring", train_arguments({"train.steps=30"}, {}), {{}, [] { ::signal(SIGINT, SIG_IGN); }});
  ASSERT_NO_FATAL_FAILURE(wait_for_steps(process, 2));
  process.signal(SIGINT);
  EXPECT_EQ(process.wait().status, 0);
  EXPECT_EQ(losses().size(), 30U);
}

TEST_F(TrainTest, ATornMetricsLineIsEndedBeforeAResumeWritesOn) {
  ASSERT_EQ(train({"train.steps=2"}).status, 0);
  std::ofstream(folder_ / "run/metrics.jsonl", std::ios::app) << R"({"step": 3, "lo)";
  ASSERT_EQ(train().status, 0);
  EXPECT_EQ(losses().size(), 6U);
  EXPECT_EQ(metrics().back()["event"], "end");
}

TEST_F(TrainTest, WritesATraceOfTheStepsThatWereAskedFor) {
  const Outcome outcome = train({"run.trace=trace.json", "run.trace_steps=[2, 3]"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const std::set<int> steps = traced_steps();
  EXPECT_THAT(steps, testing::IsSupersetOf({2, 3}));
  EXPECT_FALSE(steps.contains(1));
}

TEST_F(TrainTest, ATraceToTheLastStepHoldsIt) {
  ASSERT_EQ(train({"run.trace=trace.json", "run.trace_steps=[5, 9]"}).status, 0);
  const std::set<int> steps = traced_steps();
  EXPECT_THAT(steps, testing::IsSupersetOf({5, 6}));
  EXPECT_FALSE(steps.contains(4));
}

TEST_F(TrainTest, ItsThreadsSpinForMicrosecondsAtMost) {
  Process process(folder_, "spinning", train_arguments({kForever}, {}), {{"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}, nullptr});
  ASSERT_NO_FATAL_FAILURE(wait_for_steps(process, 1));
  std::ifstream file("/proc/" + std::to_string(process.pid()) + "/environ", std::ios::binary);
  const std::string environment{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(environment, HasSubstr("OMP_WAIT_POLICY=passive"));
  EXPECT_THAT(environment, HasSubstr("GOMP_SPINCOUNT=3000"));
}

TEST_F(TrainTest, ALossThatIsNotFiniteEndsTheRunWithStatusSix) {
  const Outcome outcome = train({"optimizer.learning_rate=1e30", "train.steps=50"}, {"--log-level", "off"});
  expect_one_error_line(outcome, 6, "step ");
  const std::vector<Json> lines = metrics();
  ASSERT_GE(lines.size(), 3U);
  EXPECT_EQ(lines.back()["exit_status"], 6);
  const Json& step = lines[lines.size() - 2];
  EXPECT_TRUE(step["loss"].is_null() || step["grad_norm"].is_null()) << step;
  EXPECT_EQ(lines.back()["step"], step["step"]);
  EXPECT_THAT(outcome.err, HasSubstr("step " + step["step"].dump()));
  EXPECT_LT(step["committed_step"], step["step"]);
}

// At this loss scale every gradient overflows fp16.
TEST_F(TrainTest, AGradientThatOverflowsIsSkippedAndCountedOrEndsTheRunWithItsUnit) {
  ASSERT_EQ(train({"train.dtype=fp16", "train.steps=2"}).status, 0);
  const std::vector<std::string> overflowing{"train.dtype=fp16", "train.loss_scale=1e9", "train.steps=4"};
  std::vector<std::string> stops = overflowing;
  stops.emplace_back("train.on_nonfinite=stop");
  const std::vector<std::string> allowed{"--log-level", "off", "--allow-change", "train.loss_scale", "--allow-change", "train.on_nonfinite"};
  const Outcome stopped = train(stops, allowed);
  expect_one_error_line(stopped, 6, "the gradient of unit ");
  EXPECT_THAT(stopped.err, HasSubstr("is not finite in step 3"));
  EXPECT_EQ(Json::parse(run({"inspect", "run", "--json", "--verify"}).out)["step"], 2) << "the last commit stands";
  ASSERT_EQ(train(overflowing, allowed).status, 0);
  const std::vector<Json> lines = metrics();
  EXPECT_EQ(lines.back()["skipped"], 2);
  EXPECT_TRUE(lines[lines.size() - 2]["skipped"].get<bool>());
}

rlim_t address_space_limit = 0;  // what limit_address_space() sets, which takes no argument
void limit_address_space() {
  const rlimit limit{address_space_limit, address_space_limit};
  if (::setrlimit(RLIMIT_AS, &limit) != 0) ::_exit(126);
}

// The machine has less memory left than a validation of many batches takes beside the budgets.
TEST_F(TrainTest, RunningOutOfMemoryIsOneLineAndEndsTheMetrics) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer ends a process that runs out of memory";
#endif
  {
    std::ofstream text(folder_ / "long.txt");
    for (int i = 0; i < 1'500'000; ++i) text << "sixteen letters\n";
  }
  {
    Process process(folder_, "unlimited", train_arguments({kForever}, {}));
    ASSERT_NO_FATAL_FAILURE(wait_for_steps(process, 1));
    std::ifstream file("/proc/" + std::to_string(process.pid()) + "/statm");
    rlim_t pages = 0;
    ASSERT_TRUE(file >> pages);
    address_space_limit = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + (rlim_t{256} << 20);
  }
  const Outcome outcome = train({"run.dir=limited", "ssd.paths=limited-ssd", "data.validation=long.txt", "train.validate_every=2",
                                 "train.validation_batches=1000000000"},
                                {"--log-level", "off"}, {{}, limit_address_space});
  expect_one_error_line(outcome, 3, "memory");
  const std::vector<Json> lines = metrics("limited");
  EXPECT_EQ(lines.back()["event"], "end");
  EXPECT_EQ(lines.back()["exit_status"], 3);
  EXPECT_EQ(lines.back()["error"].get<std::string>().find('\n'), std::string::npos);
}

}  // namespace
}  // namespace gsnake::test
