// Runs of several ranks on this machine, started as torchrun would.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"

namespace gsnake::test {

// The ranks of one run, as processes.
class RankProcesses {
 public:
  // What is said of a rank holds for it alone, beside what all have.
  struct Own {
    std::vector<std::string> arguments;
    Surroundings surroundings;
  };
  RankProcesses(const std::filesystem::path& folder, const std::string& name, int count, const std::vector<std::string>& arguments, const std::map<int, Own>& own = {});

  [[nodiscard]] Process& operator[](int rank) { return *processes_[static_cast<std::size_t>(rank)]; }
  [[nodiscard]] int count() const { return static_cast<int>(processes_.size()); }
  // By rank.
  std::vector<Outcome> wait();

 private:
  std::vector<std::unique_ptr<Process>> processes_;
};

class RanksTest : public CommandTest {
 protected:
  void SetUp() override;
  // gsnake train config.toml on so many ranks; one: without torchrun's variables.
  std::unique_ptr<RankProcesses> start(int count, const std::vector<std::string>& changes = {}, const std::vector<std::string>& options = {},
                                       const std::map<int, RankProcesses::Own>& own = {});
  std::vector<Outcome> train_on(int count, const std::vector<std::string>& changes = {}, const std::vector<std::string>& options = {},
                                const std::map<int, RankProcesses::Own>& own = {});
  // The same, all of which must succeed, in folders named `run`: its losses.
  std::vector<double> losses_of(int count, const std::string& run, std::vector<std::string> changes = {});
  static std::vector<std::string> in_folders(const std::string& run);
  static void expect_all(const std::vector<Outcome>& outcomes, int status);
  // As floats, one by one.
  static void expect_close(const std::vector<double>& losses, const std::vector<double>& expected, double relative);
  // Losses of all, of every other rank: an exit status of 8, with that text.
  static void expect_others_ended(const std::vector<Outcome>& outcomes, int failed, const std::string& text);

 private:
  int groups_ = 0;
};

}  // namespace gsnake::test
