// Ranks as processes of their own, as a launcher starts them.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace gsnake::dist::test {

// Kills those that still run at its end.
class RankProcesses {
 public:
  explicit RankProcesses(int count, double timeout = 60.0);
  ~RankProcesses();
  RankProcesses(const RankProcesses&) = delete;
  RankProcesses& operator=(const RankProcesses&) = delete;

  // What a rank is to do (rank/main.cpp). A variable without "=" is unset.
  void start(int rank, const std::string& what, const std::string& argument = "", std::vector<std::string> variables = {});
  // Ranks that are started from now on are arguments of that command.
  void start_by(std::vector<std::string> command) { command_ = std::move(command); }
  void start_all(const std::string& what) {
    for (int rank = 0; rank < count_; ++rank) start(rank, what);
  }
  // All wait for as long as anybody can want, and fail the test then.
  void wait_until_joined();
  int status(int rank);                // exit status; of a signal, 128 and its number
  void send(int rank, int signal) const;
  [[nodiscard]] std::vector<std::string> lines(int rank) const;
  [[nodiscard]] std::string last_line(int rank) const;
  [[nodiscard]] int port() const { return port_; }
  [[nodiscard]] std::filesystem::path file(const std::string& name) const { return folder_ / name; }

 private:
  [[nodiscard]] std::filesystem::path output(int rank) const { return folder_ / ("rank-" + std::to_string(rank)); }

  const int count_;
  const double timeout_;
  const int port_;
  const std::filesystem::path folder_;
  std::vector<std::string> command_;
  std::vector<pid_t> processes_;  // by rank; 0: none
  std::vector<int> statuses_;
};

}  // namespace gsnake::dist::test
