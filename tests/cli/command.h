// Runs the built gsnake as a user would, in a folder of its own.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gsnake::test {

using Json = nlohmann::json;

struct Outcome {
  int status = -1;  // as a shell has it: 128 + signal for a process that one ended
  std::string out;
  std::string err;
  std::uint64_t peak_bytes = 0;  // resident at most
};

// What a process has that others have not.
struct Surroundings {
  std::vector<std::string> environment;  // NAME=VALUE, besides what this process has; NAME alone: without it
  void (*before)() = nullptr;            // called in the child before the program starts; async-signal-safe
};

// A gsnake that runs; killed when this goes out of scope.
class Process {
 public:
  // stdout and stderr go to files named after `name` in `folder`, which is the process's current folder too.
  Process(const std::filesystem::path& folder, const std::string& name, const std::vector<std::string>& arguments,
          const Surroundings& surroundings = {});
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  void signal(int number) const;
  // Until it has more resident than so many bytes; fails the test when it ends before.
  void wait_for_resident(std::uint64_t bytes) const;
  // One that has not ended after ten minutes is killed, which fails the test.
  Outcome wait();

 private:
  pid_t pid_ = -1;
  std::filesystem::path out_;
  std::filesystem::path err_;
};

// A folder with a corpus and the config of a tiny model that trains from SSD within a second.
class CommandTest : public testing::Test {
 protected:
  void SetUp() override;
  // What a failure left is kept to be looked at.
  void TearDown() override;

  Outcome run(const std::vector<std::string>& arguments, const Surroundings& surroundings = {});
  // gsnake train config.toml, with each of `changes` behind a --set.
  Outcome train(const std::vector<std::string>& changes = {}, const std::vector<std::string>& options = {},
                const Surroundings& surroundings = {});
  // One error line, which is the whole of stderr, and nothing on stdout.
  static void expect_one_error_line(const Outcome& outcome, int status, const std::string& part);
  // Everything in the test's folder, but for what the commands printed.
  [[nodiscard]] std::vector<std::string> files() const;
  [[nodiscard]] std::vector<Json> metrics(const std::string& run = "run") const;
  // The losses of the metrics' steps, a resumed run's repeats superseding what they repeat.
  [[nodiscard]] std::vector<double> losses(const std::string& run = "run") const;
  [[nodiscard]] std::map<std::int64_t, double> losses_by_step(const std::string& run = "run") const;
  // Until the run's metrics tell of `steps` steps; fails the test when the process ends before.
  void wait_for_steps(const Process& process, std::size_t steps) const;
  static std::vector<std::string> train_arguments(const std::vector<std::string>& changes, const std::vector<std::string>& options);

  std::filesystem::path folder_;
  int runs_ = 0;
};

}  // namespace gsnake::test
