// The plug-in's loader, on files that are plug-ins and such as are not; devices by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "device/cuda_plugin_file.h"
#include "device/named_device.h"
#include "greedysnake/error.h"

namespace gsnake::device {
namespace {

using testing::HasSubstr;

TEST(CudaPlugin, IsOpenedWhereItIsOne) {
  const CudaPluginFile file = open_cuda_plugin(GSNAKE_PLUGIN_GOOD, "");
  ASSERT_NE(file.table, nullptr) << file.lack.cause;
  EXPECT_EQ(file.path, GSNAKE_PLUGIN_GOOD);
  EXPECT_EQ(file.table->probe(FreeMemory::unknown()).devices.at(0).free_bytes, 0U);
  EXPECT_EQ(file.table->probe(FreeMemory::of_all()).devices.at(0).free_bytes, 7U);
  EXPECT_EQ(file.table->probe(FreeMemory::of(0)).devices.at(0).free_bytes, 7U);
  EXPECT_EQ(file.table->probe(FreeMemory::of(1)).devices.at(0).free_bytes, 0U) << "it would have made a context on another GPU";
}

TEST(CudaPlugin, ThatIsMissingIsLookedForWhereItWouldBe) {
  const CudaPluginFile file = open_cuda_plugin("libgreedysnake_no_such.so", "/opt/gsnake/lib");
  EXPECT_EQ(file.table, nullptr);
  EXPECT_THAT(file.lack.cause, HasSubstr("no CUDA plug-in (libgreedysnake_cuda.so) in /opt/gsnake/lib or on the library path"));
  EXPECT_THAT(file.lack.remedy, HasSubstr("scripts/setup"));
}

// Its table would be read by another layout.
TEST(CudaPlugin, OfAnotherAbiIsRefused) {
  const CudaPluginFile file = open_cuda_plugin(GSNAKE_PLUGIN_OLD, "");
  EXPECT_EQ(file.table, nullptr);
  EXPECT_THAT(file.lack.cause, HasSubstr("another build"));
  EXPECT_THAT(file.lack.cause, HasSubstr(GSNAKE_PLUGIN_OLD));
}

TEST(CudaPlugin, ThatIsAnotherLibraryIsRefused) { EXPECT_THAT(open_cuda_plugin(GSNAKE_PLUGIN_OTHER, "").lack.cause, HasSubstr("another build")); }

TEST(CudaPlugin, ThatIsDamagedIsNamedWithTheLinkersReason) {
  const std::string path = testing::TempDir() + "/libgreedysnake_damaged.so";
  std::ofstream(path) << "no library at all, but long enough to be read as the header of one and be found wanting\n";
  const CudaPluginFile file = open_cuda_plugin(path, "");
  std::remove(path.c_str());
  EXPECT_THAT(file.lack.cause, HasSubstr(path + " can't be opened: " + path + ": "));
  EXPECT_THAT(file.lack.cause, HasSubstr("ELF"));
}

TEST(CudaPlugin, WhoseLibrariesAreMissingNamesTheFirstAndWhereToPutIt) {
  const CudaLack lack = plugin_not_opened("/lib/p.so", "libcublas.so.13: cannot open shared object file: No such file or directory");
  EXPECT_THAT(lack.cause, HasSubstr("/lib/p.so can't be opened: libcublas.so.13"));
  EXPECT_THAT(lack.remedy, HasSubstr("folder of libcublas.so.13 to LD_LIBRARY_PATH"));
}

TEST(NamedDevice, CpuIsMadeWithoutAPlugin) { EXPECT_EQ(make_device("cpu")->name(), "cpu"); }

TEST(NamedDevice, NamesThatAreNoneAreRefused) {
  for (const char* name : {"", "gpu", "cuda:", "cuda:x", "cuda:0 ", "cuda:-1", "cuda:99999999999"}) {
    EXPECT_THROW(require_device(name), Error) << name;
    EXPECT_THROW(make_device(name), Error) << name;
  }
}

TEST(NamedDevice, EachRankOfAMachineHasItsOwn) {
  EXPECT_EQ(device_of_rank("cuda:{local_rank}", 3), "cuda:3");
  EXPECT_EQ(device_of_rank("cuda:1", 3), "cuda:1");
  EXPECT_EQ(device_of_rank("cpu", 3), "cpu");
}

// Of this program, which has no plug-in beside it.
TEST(NamedDevice, CudaIsRefusedAsTheProbeSaysIt) {
  const CudaProbe probe = probe_cuda();
  ASSERT_NE(probe.lack.cause, "");
  try {
    make_device("cuda:0");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_EQ(error.what(), "memory.device = \"cuda:0\": " + probe.lack.cause + "; " + probe.lack.remedy + ", or set memory.device = \"cpu\"");
  }
}

}  // namespace
}  // namespace gsnake::device
