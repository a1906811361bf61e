// What a run takes from the machine, by the kernel's count: resident memory and bytes to and from the drive.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gsnake::test {
namespace {

using Json = nlohmann::json;

struct Watched {
  int exit_status = -1;
  rusage usage{};
  Json start;
  std::vector<Json> steps;
};

class Resources : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "gsnake-system-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // A small model over the quickstart's text, everything on SSD, with `settings` on top.
  Watched train(const std::string& name, const std::vector<std::string>& settings) {
    const std::string run_dir = folder_ / name;
    std::vector<std::string> words{GSNAKE_COMMAND, "train", GSNAKE_QUICKSTART, "--log-level", "warn"};
    std::vector<std::string> all{"run.dir=" + run_dir, "ssd.paths=[\"" + run_dir + "/ssd\"]", "model.hidden=256", "model.heads=8", "train.micro_batches=2",
                                 "train.micro_batch_size=1", "train.sequence_length=64", "train.validate_every=0", "placement.gradients.host=0",
                                 "memory.host_budget=\"32 MiB\"", "memory.device_budget=\"64 MiB\""};
    all.insert(all.end(), settings.begin(), settings.end());
    for (const std::string& setting : all) words.insert(words.end(), {"--set", setting});
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    Watched run;
    const pid_t child = fork();
    if (child == 0) {
      const int log = open((folder_ / (name + ".log")).c_str(), O_CREAT | O_WRONLY, 0600);
      dup2(log, STDOUT_FILENO);
      dup2(log, STDERR_FILENO);
      execv(GSNAKE_COMMAND, arguments.data());
      _exit(127);
    }
    int status = 0;
    EXPECT_EQ(wait4(child, &status, 0, &run.usage), child);
    run.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    std::ifstream metrics(run_dir + "/metrics.jsonl");
    for (std::string line; std::getline(metrics, line);) {
      const Json json = Json::parse(line);
      if (json.value("event", "") == "start") run.start = json;
      if (json.contains("loss") && !json.contains("event")) run.steps.push_back(json);
    }
    return run;
  }

  std::filesystem::path folder_;
};

struct Resident {
  double peak = 0.0;  // bytes
  double base = 0.0;  // what the run calls libraries and code
};

TEST_F(Resources, ResidentMemoryDoesNotGrowWithLayersAndKeepsToItsBudgets) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer's own memory is many times the budgets";
#endif
  for (const char* delay : {"0", "1"}) {
    SCOPED_TRACE(std::string("delay ") + delay);
    const auto resident = [&](int layers) {
      const Watched run = train(std::string("d").append(delay).append("-l").append(std::to_string(layers)),
                            {"model.layers=" + std::to_string(layers), "train.steps=4", std::string("train.delay=") + delay, "memory.host_budget=\"20 MiB\"",
                             "memory.device_budget=\"28 MiB\""});
      EXPECT_EQ(run.exit_status, 0);
      const Resident found{static_cast<double>(run.usage.ru_maxrss) * 1024, run.start.at("base_bytes").get<double>()};
      EXPECT_LE(found.peak, found.base + (48 << 20)) << layers << " layers";
      return found;
    };
    const Resident shallow = resident(4);
    const Resident deep = resident(32);  // 300 MB of weights and optimizer state under 48 MiB of budgets
    EXPECT_LT(deep.peak, 1.03 * shallow.peak);
    // The base is measured: were it to grow with the model, something that is not charged to a budget would hide in it.
    EXPECT_LT(deep.base, shallow.base + (3 << 20));
  }
}

TEST_F(Resources, TrafficEqualsTheFormulaAndTheKernelsCount) {
  for (const char* delay : {"0", "1"}) {
    SCOPED_TRACE(std::string("delay ") + delay);
    const auto steps = [&](int count) {
      return train(std::string("d").append(delay).append("-s").append(std::to_string(count)),
                   {"model.layers=6", "train.steps=" + std::to_string(count), std::string("train.delay=") + delay, "placement.activations.host=0"});
    };
    const Watched few = steps(4);
    const Watched more = steps(12);
    ASSERT_EQ(few.exit_status, 0);
    ASSERT_EQ(more.exit_status, 0);
    if (!more.start.at("io").at("direct").get<bool>()) GTEST_SKIP() << "the page cache hides what reaches the drive: " << more.start.dump();
    const Json& steady = more.steps.at(6);
    EXPECT_EQ(steady.at("ssd_read_bytes"), more.start.at("formula_ssd_read_bytes"));
    EXPECT_EQ(steady.at("ssd_write_bytes"), more.start.at("formula_ssd_write_bytes"));
    const double read = static_cast<double>(more.usage.ru_inblock - few.usage.ru_inblock) * 512 / 8;
    const double written = static_cast<double>(more.usage.ru_oublock - few.usage.ru_oublock) * 512 / 8;
    EXPECT_NEAR(read, steady.at("ssd_read_bytes").get<double>(), 0.02 * read);
    EXPECT_NEAR(written, steady.at("ssd_write_bytes").get<double>(), 0.02 * written);
  }
}

}  // namespace
}  // namespace gsnake::test
