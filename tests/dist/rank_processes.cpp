#include "dist/rank_processes.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <thread>

#include "core/unique_fd.h"

namespace gsnake::dist::test {
namespace {

constexpr auto kLongest = std::chrono::minutes(2);
constexpr int kFirstPort = 12'000;  // below those that the system gives to whoever connects
constexpr int kPorts = 18'000;

bool is_free(int port) {
  const core::UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

int free_port() {
  static int next = static_cast<int>(::getpid()) * 61;
  for (int i = 0; i < kPorts; ++i) {
    const int port = kFirstPort + next++ % kPorts;
    if (is_free(port)) return port;
  }
  throw std::runtime_error("no port is free");
}

std::filesystem::path make_folder() {
  std::string name = (std::filesystem::temp_directory_path() / "gsnake-ranks-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a folder in the temporary folder");
  return name;
}

std::string name_of(const std::string& variable) { return variable.substr(0, variable.find('=')); }

// This process's variables but for those that `changed` names, then those that it gives a value.
std::vector<char*> variables(std::vector<std::string>& changed) {
  std::vector<char*> all;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::none_of(changed.begin(), changed.end(), [&](const std::string& own) { return name_of(own) == name_of(*variable); })) all.push_back(*variable);
  }
  for (std::string& variable : changed) {
    if (variable.find('=') != std::string::npos) all.push_back(variable.data());
  }
  all.push_back(nullptr);
  return all;
}

pid_t spawn(std::vector<std::string> arguments, std::vector<std::string> changed, const std::filesystem::path& output) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::vector<char*> environment = variables(changed);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, (output.string() + ".stderr").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t process = 0;
  const int error = ::posix_spawnp(&process, argv[0], &actions, nullptr, argv.data(), environment.data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::runtime_error("cannot start " + arguments[0]);
  return process;
}

bool wait_for(const std::function<bool()>& condition) {
  const auto ends = std::chrono::steady_clock::now() + kLongest;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > ends) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

}  // namespace

RankProcesses::RankProcesses(int count, double timeout)
    : count_(count), timeout_(timeout), port_(free_port()), folder_(make_folder()), processes_(static_cast<std::size_t>(count)), statuses_(static_cast<std::size_t>(count)) {}

RankProcesses::~RankProcesses() {
  for (const pid_t process : processes_) {
    if (process == 0) continue;
    ::kill(process, SIGKILL);
    ::waitpid(process, nullptr, 0);
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void RankProcesses::start(int rank, const std::string& what, const std::string& argument, std::vector<std::string> variables) {
  for (const std::string& variable : {"RANK=" + std::to_string(rank), "WORLD_SIZE=" + std::to_string(count_), std::string("MASTER_ADDR=127.0.0.1"), "MASTER_PORT=" + std::to_string(port_),
                                      std::string("OMP_NUM_THREADS=1")}) {
    if (std::none_of(variables.begin(), variables.end(), [&](const std::string& own) { return name_of(own) == name_of(variable); })) variables.push_back(variable);
  }
  std::vector<std::string> arguments = command_;
  arguments.insert(arguments.end(), {DIST_RANK, std::to_string(timeout_), what, argument});
  processes_[static_cast<std::size_t>(rank)] = spawn(std::move(arguments), std::move(variables), output(rank));
}

void RankProcesses::wait_until_joined() {
  for (int rank = 0; rank < count_; ++rank) {
    if (!wait_for([&] { return !lines(rank).empty(); }) || lines(rank).front() != "joined") FAIL() << "rank " << rank << ": " << last_line(rank);
  }
}

int RankProcesses::status(int rank) {
  pid_t& process = processes_[static_cast<std::size_t>(rank)];
  int& status = statuses_[static_cast<std::size_t>(rank)];
  if (process == 0) return status;
  int raw = 0;
  if (!wait_for([&] { return ::waitpid(process, &raw, WNOHANG) == process; })) {
    ADD_FAILURE() << "rank " << rank << " does not end; it said: " << last_line(rank);
    return -1;
  }
  process = 0;
  return status = WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
}

void RankProcesses::send(int rank, int signal) const { EXPECT_EQ(::kill(processes_[static_cast<std::size_t>(rank)], signal), 0); }

std::vector<std::string> RankProcesses::lines(int rank) const {
  std::ifstream file(output(rank));
  std::vector<std::string> all;
  for (std::string line; std::getline(file, line) && !file.eof();) all.push_back(line);
  return all;
}

std::string RankProcesses::last_line(int rank) const {
  const std::vector<std::string> all = lines(rank);
  return all.empty() ? "" : all.back();
}

}  // namespace gsnake::dist::test
