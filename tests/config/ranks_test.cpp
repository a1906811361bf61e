// Which rank a process is, and where it keeps what is its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <optional>
#include <string>

#include "config/config_text.h"
#include "greedysnake/error.h"
#include "greedysnake/ranks.h"

namespace gsnake {
namespace {

using testing::HasSubstr;

// Sets variables while it lives; the others of torchrun's are unset.
class Environment {
 public:
  explicit Environment(const std::map<std::string, std::string>& variables) {
    for (const char* name : {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"}) {
      const char* value = std::getenv(name);
      before_[name] = value == nullptr ? std::nullopt : std::optional<std::string>(value);
      ::unsetenv(name);
    }
    for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
  }
  ~Environment() {
    for (const auto& [name, value] : before_) {
      if (value) {
        ::setenv(name.c_str(), value->c_str(), 1);
      } else {
        ::unsetenv(name.c_str());
      }
    }
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  std::map<std::string, std::optional<std::string>> before_;
};

std::string refusal_of(const std::map<std::string, std::string>& variables) {
  const Environment environment(variables);
  try {
    ranks_of_environment({});
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.what();
  }
  return "";
}

TEST(Ranks, AreOneWithoutTorchrun) {
  const Environment environment({});
  EXPECT_EQ(ranks_of_environment({}).count, 1);
}

TEST(Ranks, AreWhatTorchrunSays) {
  const Environment environment({{"RANK", "5"}, {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "4"}});
  const RanksConfig ranks = ranks_of_environment({.timeout = 7.0});
  EXPECT_EQ(ranks.rank, 5);
  EXPECT_EQ(ranks.count, 8);
  EXPECT_EQ(ranks.local_rank, 1);
  EXPECT_EQ(ranks.local_count, 4);
  EXPECT_EQ(ranks.timeout, 7.0);
}

TEST(Ranks, AreRefusedWhereTheyMakeNoSense) {
  EXPECT_THAT(refusal_of({{"WORLD_SIZE", "2"}}), HasSubstr("RANK is not set"));
  EXPECT_THAT(refusal_of({{"WORLD_SIZE", "2"}, {"RANK", "2"}}), HasSubstr("RANK = 2: must be an integer in 0..1"));
  EXPECT_THAT(refusal_of({{"WORLD_SIZE", "two"}, {"RANK", "0"}}), HasSubstr("WORLD_SIZE = two"));
}

TEST(Ranks, KeepTheirShareInFoldersOfTheirOwn) {
  EXPECT_EQ(folder_of_rank("/nvme/state", 0, 1, 0), "/nvme/state");
  EXPECT_EQ(folder_of_rank("/nvme/state", 2, 4, 2), "/nvme/state/rank-2/of-4");
  EXPECT_EQ(folder_of_rank("/nvme{local_rank}/state", 5, 8, 1), "/nvme1/state/rank-5/of-8");
  EXPECT_EQ(folder_of_rank("/nvme{local_rank}/state", 0, 1, 0), "/nvme0/state");
}

TEST(Ranks, TimeoutIsASpanOfTime) {
  EXPECT_EQ(test::parsed("ranks.timeout = \"2 min\"").ranks.timeout, 120.0);
  EXPECT_EQ(test::parsed("ranks.timeout = 5").ranks.timeout, 5.0);
}

}  // namespace
}  // namespace gsnake
