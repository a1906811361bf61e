#include "cli/command.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <thread>

namespace gsnake::test {
namespace {

constexpr const char* kConfig = R"(
model = { family = "gpt2", layers = 2, hidden = 64, heads = 2, vocab = 256, context = 32 }
data.train = ["corpus.txt"]
train = { steps = 6, micro_batches = 2, micro_batch_size = 2, sequence_length = 32, dtype = "fp32", delay = 0.5, compute_threads = 1 }
memory = { host_budget = "64 MiB", device_budget = "64 MiB" }
placement = { activations = { host = 0.0 }, gradients = { host = 0.0 } }
)";

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// In the child: nothing that could wait for a lock of the parent's other threads.
[[noreturn]] void become(const char* folder, const char* out, const char* err, std::vector<char*>& arguments,
                         std::vector<char*>& environment, void (*before)()) {
  const int out_fd = ::open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const int err_fd = ::open(err, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (out_fd < 0 || err_fd < 0 || ::dup2(out_fd, STDOUT_FILENO) < 0 || ::dup2(err_fd, STDERR_FILENO) < 0) ::_exit(126);
  if (::chdir(folder) != 0) ::_exit(126);
  if (before != nullptr) before();
  ::execve(GSNAKE_COMMAND, arguments.data(), environment.data());
  ::_exit(127);
}

std::string name_of(const std::string& variable) { return variable.substr(0, variable.find('=')); }

// This process's variables but for those that `changed` names, then those that it gives a value; for execve().
std::vector<char*> variables(std::vector<std::string>& changed) {
  std::vector<char*> all;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const bool kept =
        std::none_of(changed.begin(), changed.end(), [&](const std::string& own) { return name_of(own) == name_of(*variable); });
    if (kept) all.push_back(*variable);
  }
  for (std::string& variable : changed) {
    if (variable.find('=') != std::string::npos) all.push_back(variable.data());
  }
  all.push_back(nullptr);
  return all;
}

}  // namespace

Process::Process(const std::filesystem::path& folder, const std::string& name, const std::vector<std::string>& arguments,
                 const Surroundings& surroundings)
    : out_(folder / (name + ".stdout")), err_(folder / (name + ".stderr")) {
  std::vector<std::string> words{"gsnake"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  std::vector<std::string> changed = surroundings.environment;
  std::vector<char*> environment = variables(changed);
  pid_ = ::fork();
  if (pid_ == 0) become(folder.c_str(), out_.c_str(), err_.c_str(), pointers, environment, surroundings.before);
}

Process::~Process() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Process::signal(int number) const { ASSERT_EQ(::kill(pid_, number), 0); }

void Process::wait_for_resident(std::uint64_t bytes) const {
  const auto resident = [&] {
    std::ifstream file("/proc/" + std::to_string(pid_) + "/status");
    for (std::string line; std::getline(file, line);) {
      if (line.rfind("VmRSS:", 0) == 0) return std::stoull(line.substr(6)) * 1024;
    }
    return 0ULL;
  };
  while (resident() <= bytes) {
    siginfo_t ended{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT), 0);
    ASSERT_EQ(ended.si_pid, 0) << "it ended before";
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

Outcome Process::wait() {
  int status = 0;
  rusage usage{};
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(10);
  while (::wait4(pid_, &status, WNOHANG, &usage) == 0) {
    if (std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      continue;
    }
    ADD_FAILURE() << "killed, as it had not ended after ten minutes; it printed " << err_;
    ::kill(pid_, SIGKILL);
    ::wait4(pid_, &status, 0, &usage);
    break;
  }
  pid_ = -1;
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_file(out_), read_file(err_), static_cast<std::uint64_t>(usage.ru_maxrss) * 1024};
}

void CommandTest::SetUp() {
  std::string pattern = (std::filesystem::temp_directory_path() / "gsnake-cli-XXXXXX").string();
  ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
  folder_ = pattern;
  std::ofstream corpus(folder_ / "corpus.txt");
  for (int i = 0; i < 2000; ++i) corpus << "line " << i << " of a text that is only here to be learnt\n";
  std::ofstream(folder_ / "config.toml") << kConfig;
}

void CommandTest::TearDown() {
  if (HasFailure()) {
    std::fprintf(stderr, "left as it failed: %s\n", folder_.c_str());
  } else {
    std::filesystem::remove_all(folder_);
  }
}

Outcome CommandTest::run(const std::vector<std::string>& arguments, const Surroundings& surroundings) {
  return Process(folder_, "command-" + std::to_string(runs_++), arguments, surroundings).wait();
}

std::vector<std::string> CommandTest::train_arguments(const std::vector<std::string>& changes, const std::vector<std::string>& options) {
  std::vector<std::string> arguments{"train", "config.toml"};
  for (const std::string& change : changes) arguments.insert(arguments.end(), {"--set", change});
  arguments.insert(arguments.end(), options.begin(), options.end());
  return arguments;
}

Outcome CommandTest::train(const std::vector<std::string>& changes, const std::vector<std::string>& options,
                           const Surroundings& surroundings) {
  return run(train_arguments(changes, options), surroundings);
}

void CommandTest::expect_one_error_line(const Outcome& outcome, int status, const std::string& part) {
  EXPECT_EQ(outcome.status, status) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err.rfind("gsnake: error: ", 0), 0U) << outcome.err;
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
}

std::vector<std::string> CommandTest::files() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
    const std::string extension = entry.path().extension();
    if (extension != ".stdout" && extension != ".stderr") names.push_back(entry.path().lexically_relative(folder_));
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<Json> CommandTest::metrics(const std::string& run) const {
  std::ifstream file(folder_ / run / "metrics.jsonl");
  std::vector<Json> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(Json::parse(line, nullptr, false));
  return lines;
}

std::map<std::int64_t, double> CommandTest::losses_by_step(const std::string& run) const {
  std::map<std::int64_t, double> by_step;
  for (const Json& line : metrics(run)) {
    if (line.is_object() && line.contains("loss") && !line.contains("event")) by_step[line["step"]] = line["loss"];
  }
  return by_step;
}

std::vector<double> CommandTest::losses(const std::string& run) const {
  std::vector<double> losses;
  for (const auto& [step, loss] : losses_by_step(run)) losses.push_back(loss);
  return losses;
}

void CommandTest::wait_for_steps(const Process& process, std::size_t steps) const {
  while (losses().size() < steps) {
    siginfo_t ended{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(process.pid()), &ended, WEXITED | WNOHANG | WNOWAIT), 0);
    ASSERT_EQ(ended.si_pid, 0) << "it ended before step " << steps;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace gsnake::test
