// What a machine is known by, and its profile in the user's cache.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include "greedysnake/error.h"
#include "measure/drive_name.h"
#include "measure/kept_profiles.h"
#include "measure/machine_key.h"
#include "temporary_folder.h"

namespace gsnake::measure {
namespace {

MachineParts parts() { return {"a CPU", 8, 64ULL << 30, "cpu", {"8:1 /dev/sda1", "8:17 /dev/sdb1"}}; }

TEST(MachineKey, ChangesWithEachPart) {
  const std::string key = key_of(parts());
  EXPECT_EQ(key.size(), 16U);
  EXPECT_EQ(key_of(parts()), key);
  MachineParts other = parts();
  other.cpu = "another CPU";
  EXPECT_NE(key_of(other), key);
  other = parts();
  other.cores = 4;
  EXPECT_NE(key_of(other), key);
  other = parts();
  other.memory = 32ULL << 30;
  EXPECT_NE(key_of(other), key);
  other = parts();
  other.device = "a GPU";
  EXPECT_NE(key_of(other), key);
  other = parts();
  other.quota = 4.0;
  EXPECT_NE(key_of(other), key);
  other = parts();
  other.drives.pop_back();
  EXPECT_NE(key_of(other), key);
}

TEST(MachineKey, IsTheSameForTheSameDrivesInAnyOrderAndForAKernelThatTakesAFewPages) {
  MachineParts other = parts();
  std::swap(other.drives[0], other.drives[1]);
  other.memory -= 100ULL << 20;
  EXPECT_EQ(key_of(other), key_of(parts()));
}

TEST(MachineKey, KnowsAPathThatIsNotThereYetByTheOneAboveIt) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(nearest_folder(folder / "not/there"), folder.path());
  EXPECT_EQ(device_of(folder / "not/there"), device_of(folder.path()));
  EXPECT_EQ(machine_key("cpu", {folder / "not/there"}), machine_key("cpu", {folder.path()}));
  EXPECT_NE(machine_key("cpu", {"/proc"}), machine_key("cpu", {folder.path()}));
  EXPECT_NE(machine_key("cuda", {folder.path()}), machine_key("cpu", {folder.path()}));
}

// A variable for the length of a test; nothing: unset.
class Variable {
 public:
  Variable(const char* name, const std::optional<std::string>& value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    set(value);
  }
  ~Variable() { set(before_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  void set(const std::optional<std::string>& value) { value ? ::setenv(name_, value->c_str(), 1) : ::unsetenv(name_); }
  const char* name_;
  std::optional<std::string> before_;
};

TEST(KeptProfiles, AreFoundAgainUnderTheirKey) {
  const test::TemporaryFolder folder;
  const Variable cache("XDG_CACHE_HOME", folder / "cache");
  EXPECT_EQ(profile_path("0123"), folder / "cache/gsnake/machines/0123.toml");
  EXPECT_FALSE(find_profile("0123"));
  sim::MachineProfile profile;
  profile.key = "0123";
  profile.name = "some machine";
  keep_profile(profile);
  ASSERT_TRUE(find_profile("0123"));
  EXPECT_EQ(find_profile("0123")->name, "some machine");
  EXPECT_FALSE(find_profile("4567"));
  profile.name = "the same, measured again";
  keep_profile(profile);
  EXPECT_EQ(find_profile("0123")->name, "the same, measured again");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(profile_path("0123").parent_path()), {}), 1);
}

TEST(KeptProfiles, ArePassedOverWhereTheyCannotBeUsed) {
  const test::TemporaryFolder folder;
  const Variable cache("XDG_CACHE_HOME", folder.path());
  folder.write("gsnake/machines/0123.toml", "key = \"0123\"\nfrobnicate = 1\n");
  EXPECT_FALSE(find_profile("0123"));
  folder.write("gsnake/machines/0123.toml", "key = \"another\"\n");
  EXPECT_FALSE(find_profile("0123"));
  std::filesystem::create_directories(profile_path("4567"));
  EXPECT_FALSE(find_profile("4567"));
}

TEST(KeptProfiles, LieUnderTheHomeFolderUnlessTheCacheIsElsewhere) {
  const Variable home("HOME", "/home/someone");
  {
    const Variable cache("XDG_CACHE_HOME", std::nullopt);
    EXPECT_EQ(profile_path("k"), "/home/someone/.cache/gsnake/machines/k.toml");
  }
  const Variable relative("XDG_CACHE_HOME", "somewhere");
  EXPECT_EQ(profile_path("k"), "/home/someone/.cache/gsnake/machines/k.toml");
}

TEST(KeptProfiles, NeedAFolder) {
  const Variable home("HOME", std::nullopt);
  const Variable cache("XDG_CACHE_HOME", std::nullopt);
  EXPECT_FALSE(find_profile("k"));
  EXPECT_THROW(keep_profile({}), Error);
}

}  // namespace
}  // namespace gsnake::measure
