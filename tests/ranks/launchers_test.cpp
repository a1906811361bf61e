// The commands of docs/ranks.md, as they are printed there.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/files.h"
#include "ranks/ranks_case.h"

namespace gsnake::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Launchers : public RanksTest {
 protected:
  void SetUp() override {
    RanksTest::SetUp();
    fs::rename(folder_ / "config.toml", folder_ / "train.toml");
  }
  // In the test's folder, with the command and `program`'s folder in PATH. Its exit status, as a shell has it; what it prints goes to log.txt.
  int shell(const std::string& line, const fs::path& program) {
    const std::string all = "cd '" + folder_.string() + "' && PATH='" + fs::path(GSNAKE_COMMAND).parent_path().string() + "':'" + program.parent_path().string() + "':$PATH && { " + line + " ; } > log.txt 2>&1";
    const int status = std::system(all.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  [[nodiscard]] std::string log() const { return bytes_of(folder_ / "log.txt"); }
  void expect_trained() {
    EXPECT_EQ(losses().size(), 8U) << log();
    EXPECT_TRUE(fs::exists(folder_ / "ssd" / "rank-1")) << log();
  }
};

// Where it is in PATH, or beside the torch that python/setup or tests/parity/setup has installed.
std::string find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (::access((folder + "/" + name).c_str(), X_OK) == 0) return folder + "/" + name;
  }
  for (const char* environment : {"python", "parity"}) {
    const std::string installed = std::string(GSNAKE_SOURCE_DIR) + "/.deps/" + environment + "/env/bin/" + name;
    if (::access(installed.c_str(), X_OK) == 0) return installed;
  }
  return "";
}

std::string printed_command(const std::string& beginning) {
  std::ifstream document(std::string(GSNAKE_SOURCE_DIR) + "/docs/ranks.md");
  for (std::string line; std::getline(document, line);) {
    if (line.starts_with(beginning)) return line;
  }
  return "";
}

TEST_F(Launchers, TorchrunAsInTheDocs) {
  const std::string torchrun = find_program("torchrun");
  if (torchrun.empty()) GTEST_SKIP() << "torchrun is not in PATH, and python/setup has not installed it";
  const std::string line = printed_command("torchrun ");
  ASSERT_THAT(line, HasSubstr("--nproc-per-node 2 gsnake train train.toml"));
  EXPECT_EQ(shell(line, torchrun), 0) << log();
  expect_trained();
}

TEST_F(Launchers, TheFileForTorchrun) {
  const std::string torchrun = find_program("torchrun");
  if (torchrun.empty()) GTEST_SKIP() << "torchrun is not in PATH, and python/setup has not installed it";
  EXPECT_EQ(shell(std::string(GSNAKE_SOURCE_DIR) + "/examples/ranks/torchrun.sh 3 train.toml", torchrun), 0) << log();
  expect_trained();
}

TEST_F(Launchers, TheFileForOpenMpi) {
  const std::string mpirun = find_program("mpirun");
  if (mpirun.empty()) GTEST_SKIP() << "mpirun is not in PATH (Debian: openmpi-bin)";
  EXPECT_EQ(shell("MASTER=127.0.0.1:29617 MPIRUN_OPTIONS='--allow-run-as-root --oversubscribe' '" + std::string(GSNAKE_SOURCE_DIR) + "/examples/ranks/mpirun.sh' 2 train.toml", mpirun), 0) << log();
  expect_trained();
}

// What Slurm sets for each task, without Slurm.
TEST_F(Launchers, TheFileForSlurm) {
  const fs::path bin = folder_ / "bin";
  fs::create_directory(bin);
  put(bin / "scontrol", "#!/bin/sh\necho 127.0.0.1\n");
  put(bin / "srun", "#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\nexport SLURM_NTASKS=2 SLURM_NNODES=1\nfor task in 0 1; do SLURM_PROCID=$task SLURM_LOCALID=$task \"$@\" & done\nwait -n && wait -n\n");
  fs::permissions(bin / "scontrol", fs::perms::owner_all);
  fs::permissions(bin / "srun", fs::perms::owner_all);
  EXPECT_EQ(shell("MASTER_PORT=29618 SLURM_JOB_NODELIST=here '" + std::string(GSNAKE_SOURCE_DIR) + "/examples/ranks/slurm.sh' train.toml", bin / "srun"), 0) << log();
  expect_trained();
}

}  // namespace
}  // namespace gsnake::test
