#include "dist/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "greedysnake/error.h"

namespace gsnake::dist {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

MeetingPlace place_of(const std::string& host) {
  MeetingPlace place;
  place.host = host;
  place.port = 29500;
  return place;
}

class Interfaces : public testing::Test {
 protected:
  void TearDown() override { ::unsetenv("GLOO_SOCKET_IFNAME"); }
};

TEST_F(Interfaces, AreThoseThatAreNamed) {
  EXPECT_TRUE(chosen_interfaces().empty());
  ::setenv("GLOO_SOCKET_IFNAME", "eth0,,ib0,", 1);
  EXPECT_THAT(chosen_interfaces(), ElementsAre("eth0", "ib0"));
}

TEST(OwnAddress, IsOfTheNetworkThatReachesThePlace) {
  EXPECT_EQ(address_towards(place_of("127.0.0.1")), "127.0.0.1");
  EXPECT_EQ(address_towards(place_of("127.0.0.9")), "127.0.0.1");
}

TEST(OwnAddress, IsAskedForInVainWhereTheNameIsUnknown) {
  try {
    static_cast<void>(address_towards(place_of("nowhere.invalid")));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), HasSubstr("MASTER_ADDR = nowhere.invalid"));
  }
}

}  // namespace
}  // namespace gsnake::dist
