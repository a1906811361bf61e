// What commands print: whether it arrived, and as JSON.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <string>

#include "cli/command.h"

namespace gsnake::test {
namespace {

using testing::HasSubstr;

const Surroundings kFullStdout{{}, [] {
                                 const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
                                 if (full < 0 || ::dup2(full, STDOUT_FILENO) < 0) ::_exit(126);
                               }};

class OutputTest : public CommandTest {
 protected:
  Outcome run_with_full_stdout(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--log-level", "warn"});
    return run(arguments, kFullStdout);
  }
};

TEST_F(OutputTest, AResultThatCannotBeWrittenIsAnError) {
  expect_one_error_line(run_with_full_stdout({"train", "config.toml"}), 4, "stdout");
  EXPECT_EQ(metrics().back()["exit_status"], 0) << "the run itself ended well";
  expect_one_error_line(run_with_full_stdout({"train", "config.toml", "--json"}), 4, "stdout");
  expect_one_error_line(run_with_full_stdout({"summary", "run"}), 4, "No space left");
  expect_one_error_line(run_with_full_stdout({"generate", "--run", "run", "--prompt", "a"}), 4, "stdout");
  expect_one_error_line(run_with_full_stdout({"generate", "--run", "run", "--prompt", "a", "--json"}), 4, "stdout");
  expect_one_error_line(run({"train", "--help"}, kFullStdout), 4, "stdout");
  expect_one_error_line(run({"--version"}, kFullStdout), 4, "stdout");
}

TEST_F(OutputTest, GenerateAsJsonHoldsTheTextAndItsTokens) {
  ASSERT_EQ(train().status, 0);
  const std::vector<std::string> call{"generate", "--run", "run", "--prompt", "line ", "--tokens", "12", "--temperature", "0"};
  const Outcome text = run(call);
  std::vector<std::string> json_call = call;
  json_call.emplace_back("--json");
  const Outcome outcome = run(json_call);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json["prompt"], "line ");
  EXPECT_EQ(json["temperature"], 0.0);
  ASSERT_EQ(json["tokens"].size(), 12U);
  std::string bytes = "line ";
  for (const Json& token : json["tokens"]) bytes += static_cast<char>(token.get<int>());
  EXPECT_EQ(bytes + "\n", text.out);
}

}  // namespace
}  // namespace gsnake::test
