#include "ranks/ranks_case.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

namespace gsnake::test {
namespace {

// Enough micro-batches for 1, 2, 3 and 4 ranks; several chunks an object on each of them.
constexpr const char* kConfig = R"(
model = { family = "gpt2", layers = 2, hidden = 64, heads = 2, vocab = 256, context = 32 }
data.train = ["corpus.txt"]
train = { steps = 8, micro_batches = 12, micro_batch_size = 1, sequence_length = 16, dtype = "fp32", delay = 0.5, compute_threads = 1 }
optimizer = { learning_rate = 1e-3 }
memory = { host_budget = "64 MiB", device_budget = "64 MiB" }
placement = { activations = { host = 0.0 }, gradients = { host = 0.0 } }
)";

// One that nobody has at this moment.
int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

}  // namespace

RankProcesses::RankProcesses(const std::filesystem::path& folder, const std::string& name, int count, const std::vector<std::string>& arguments, const std::map<int, Own>& own) {
  const int port = free_port();
  for (int rank = 0; rank < count; ++rank) {
    Surroundings surroundings;
    std::vector<std::string> all = arguments;
    if (const auto of_rank = own.find(rank); of_rank != own.end()) {
      surroundings = of_rank->second.surroundings;
      all.insert(all.end(), of_rank->second.arguments.begin(), of_rank->second.arguments.end());
    }
    for (const auto& [variable, value] : std::map<std::string, int>{{"RANK", rank}, {"WORLD_SIZE", count}, {"LOCAL_RANK", rank}, {"LOCAL_WORLD_SIZE", count}, {"MASTER_PORT", port}}) {
      if (count > 1) surroundings.environment.push_back(variable + "=" + std::to_string(value));
    }
    if (count > 1) surroundings.environment.push_back("MASTER_ADDR=127.0.0.1");
    processes_.push_back(std::make_unique<Process>(folder, name + "-rank-" + std::to_string(rank), all, surroundings));
  }
}

std::vector<Outcome> RankProcesses::wait() {
  std::vector<Outcome> outcomes;
  for (auto& process : processes_) outcomes.push_back(process->wait());
  return outcomes;
}

void RanksTest::SetUp() {
  CommandTest::SetUp();
  std::ofstream(folder_ / "config.toml") << kConfig;
}

std::unique_ptr<RankProcesses> RanksTest::start(int count, const std::vector<std::string>& changes, const std::vector<std::string>& options,
                                                const std::map<int, RankProcesses::Own>& own) {
  return std::make_unique<RankProcesses>(folder_, "group-" + std::to_string(groups_++), count, train_arguments(changes, options), own);
}

std::vector<Outcome> RanksTest::train_on(int count, const std::vector<std::string>& changes, const std::vector<std::string>& options,
                                         const std::map<int, RankProcesses::Own>& own) {
  return start(count, changes, options, own)->wait();
}

std::vector<std::string> RanksTest::in_folders(const std::string& run) { return {"run.dir=" + run, "ssd.paths=" + run + "-ssd"}; }

std::vector<double> RanksTest::losses_of(int count, const std::string& run, std::vector<std::string> changes) {
  for (const std::string& change : in_folders(run)) changes.push_back(change);
  expect_all(train_on(count, changes), 0);
  return losses(run);
}

void RanksTest::expect_all(const std::vector<Outcome>& outcomes, int status) {
  for (std::size_t rank = 0; rank < outcomes.size(); ++rank) EXPECT_EQ(outcomes[rank].status, status) << "rank " << rank << ": " << outcomes[rank].err;
}

void RanksTest::expect_close(const std::vector<double>& losses, const std::vector<double>& expected, double relative) {
  ASSERT_EQ(losses.size(), expected.size());
  for (std::size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i], expected[i], relative * std::abs(expected[i])) << "step " << i + 1;
}

void RanksTest::expect_others_ended(const std::vector<Outcome>& outcomes, int failed, const std::string& text) {
  for (std::size_t rank = 0; rank < outcomes.size(); ++rank) {
    if (static_cast<int>(rank) == failed) continue;
    EXPECT_EQ(outcomes[rank].status, 8) << "rank " << rank << ": " << outcomes[rank].err;
    EXPECT_NE(outcomes[rank].err.find(text), std::string::npos) << "rank " << rank << ": " << outcomes[rank].err;
  }
}

}  // namespace gsnake::test
