// Whether cuFile can be had, and how data goes then.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "cufile_test_support.h"
#include "greedysnake/error.h"
#include "io/cufile_calls.h"

namespace gsnake::io {
namespace {

using ::testing::HasSubstr;
using testing::fake_cufile::follow;

constexpr int kIoError = 5044;

class CuFileStatusTest : public CuFileTest {
 protected:
  static CuFileStatus status_of(const std::string& library) { return cufile_status({.library = library}); }
  // What making an engine throws, of the kind that ends the command with 2 before any work.
  static std::string refusal_of(const std::string& library) {
    try {
      make_cufile_engine({}, {.library = library});
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      return error.what();
    }
  }
};

TEST_F(CuFileStatusTest, ADirectPathToTheGpuSaysWhich) {
  const CuFileStatus status = status_of(FAKE_CUFILE);
  EXPECT_TRUE(status.available);
  EXPECT_FALSE(status.compatibility_mode);
  EXPECT_EQ(status.library, std::string(FAKE_CUFILE) + " 1.15");
  EXPECT_EQ(describe(status), std::string(FAKE_CUFILE) + " 1.15, direct path to the GPU by nvidia-fs 2.24");
  follow({.nvidia_fs = false, .peer_to_peer = true});
  EXPECT_THAT(describe(status_of(FAKE_CUFILE)), HasSubstr("direct path to the GPU by PCI peer-to-peer"));
}

TEST_F(CuFileStatusTest, CompatibilityModeIsCalledByItsNameWithTheReason) {
  follow({.nvidia_fs = false});
  const CuFileStatus status = status_of(FAKE_CUFILE);
  EXPECT_TRUE(status.available);
  EXPECT_TRUE(status.compatibility_mode);
  EXPECT_EQ(describe(status),
            std::string(FAKE_CUFILE) +
                " 1.15, compatibility mode: data passes through host memory (nvidia-fs is not loaded; modprobe nvidia-fs)");
  follow({.forced_compatibility = true});
  EXPECT_EQ(describe(status_of(FAKE_CUFILE)),
            std::string(FAKE_CUFILE) +
                " 1.15, compatibility mode: data passes through host memory (cuFile is told to; leave out CUFILE_FORCE_COMPAT_MODE, "
                "and force_compat_mode in cufile.json)");
}

TEST_F(CuFileStatusTest, ALibraryThatIsNotThereIsNamed) {
  const CuFileStatus status = status_of("/nowhere/libcufile.so.0");
  EXPECT_FALSE(status.available);
  EXPECT_EQ(status.library, "/nowhere/libcufile.so.0");
  const std::string text =
      "/nowhere/libcufile.so.0: cannot open shared object file: No such file or directory; install the CUDA toolkit's libcufile, name its "
      "path in "
      "GSNAKE_CUFILE, or set ssd.engine = \"io_uring\"";
  EXPECT_EQ(describe(status), "not available: " + text);
  EXPECT_EQ(refusal_of("/nowhere/libcufile.so.0"), "cannot use cuFile: " + text);
}

TEST_F(CuFileStatusTest, ALibraryThatLacksAFunctionIsRefusedByTheFunctionsName) {
  EXPECT_THAT(refusal_of(FAKE_CUFILE_WITHOUT_READ), HasSubstr("libfake_cufile_without_read.so has no cuFileRead; install"));
}

TEST_F(CuFileStatusTest, AnOldLibraryWorksWithoutWhatItLacks) {
  const CuFileStatus status = status_of(FAKE_CUFILE_OLD);
  EXPECT_TRUE(status.available);
  EXPECT_EQ(status.library, FAKE_CUFILE_OLD) << "it tells no version";
  EXPECT_EQ(refusal_of(FAKE_CUFILE_OLD), "");
}

TEST_F(CuFileStatusTest, ADriverThatDoesNotOpenSaysWhyAndWhatToDo) {
  follow({.failures = {{Call::driver_open, 1, cufile::code::kDriverNotInitialized, 2}}});
  const std::string text =
      "cuFileDriverOpen of " + std::string(FAKE_CUFILE) +
      " 1.15: cuFile error 5001 (CU_FILE_DRIVER_NOT_INITIALIZED): nvidia-fs is not loaded, and cuFile's compatibility mode is not "
      "allowed; load nvidia-fs (modprobe nvidia-fs), or allow compatibility mode (CUFILE_ALLOW_COMPAT_MODE=true)";
  EXPECT_EQ(describe(status_of(FAKE_CUFILE)), "not available: " + text);
  EXPECT_EQ(refusal_of(FAKE_CUFILE), "cannot use cuFile: " + text);
  EXPECT_EQ(refusal_of(FAKE_CUFILE), "") << "a later try may do better";
}

// LibTorch opens cuFile too.
TEST_F(CuFileStatusTest, ADriverThatSomebodyElseOpenedIsUsedAndLeftOpen) {
  start({.opened_by_another = true});
  EXPECT_FALSE(run(Direction::write, out_.span()));
  engine_.reset();
  EXPECT_EQ(testing::fake_cufile::calls(Call::driver_close), 0);
}

TEST_F(CuFileStatusTest, PropertiesThatCannotBeReadCloseTheDriverAgain) {
  follow({.failures = {{Call::driver_get_properties, 1, cufile::code::kDriverVersionMismatch}}});
  EXPECT_THAT(refusal_of(FAKE_CUFILE), HasSubstr("cuFileDriverGetProperties of"));
  EXPECT_EQ(testing::fake_cufile::calls(Call::driver_close), 1);
}

TEST_F(CuFileStatusTest, AnEngineOfNoDepthClosesTheDriverAgain) {
  EXPECT_THROW(make_cufile_engine({.depth = 0}, {.library = FAKE_CUFILE}), Error);
  EXPECT_THROW(make_cufile_engine({.threads = 0}, {.library = FAKE_CUFILE}), Error);
}

TEST_F(CuFileStatusTest, TheEnvironmentNamesTheLibrary) {
  ASSERT_EQ(::setenv("GSNAKE_CUFILE", FAKE_CUFILE, 1), 0);
  EXPECT_TRUE(cufile_status().available);
  ASSERT_EQ(::unsetenv("GSNAKE_CUFILE"), 0);
}

// ---- ssd.engine = "cufile" ----

class CuFileChoice : public CuFileTest {
 protected:
  CuFileChoice() { ::setenv("GSNAKE_CUFILE", FAKE_CUFILE, 1); }
  ~CuFileChoice() override { ::unsetenv("GSNAKE_CUFILE"); }
  std::string refusal(ErrorKind kind) {
    try {
      engine_ = make_engine(EngineChoice::cufile, probe_.path(), {}, nullptr);
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_TRUE(std::filesystem::is_empty(probe_.path()));
      return error.what();
    }
  }

  testing::TemporaryDirectory probe_;
};

TEST_F(CuFileChoice, IsProbedReportsHowDataGoesAndLeavesNothingInTheFolder) {
  EngineReport report;
  engine_ = make_engine(EngineChoice::cufile, probe_.path(), {.depth = 5}, &report);
  EXPECT_EQ(report.name, "cufile");
  EXPECT_EQ(engine_->name(), "cufile");
  EXPECT_EQ(engine_->capacity(), 5U);
  EXPECT_EQ(report.reason, "cufile: " + std::string(FAKE_CUFILE) +
                               " 1.15, direct path to the GPU by nvidia-fs 2.24; probed with a real transfer in " + probe_.path());
  EXPECT_GE(testing::fake_cufile::calls(Call::read), 1);
  EXPECT_TRUE(std::filesystem::is_empty(probe_.path()));
  engine_.reset();
  follow({.nvidia_fs = false});
  engine_ = make_engine(EngineChoice::cufile, probe_.path(), {}, &report);
  EXPECT_THAT(report.reason, HasSubstr("compatibility mode: data passes through host memory (nvidia-fs is not loaded"));
}

TEST_F(CuFileChoice, AFileSystemThatCuFileRefusesEndsItBeforeAnyWork) {
  follow({.failures = {{Call::handle_register, 1, cufile::code::kIoNotSupported}}});
  EXPECT_THAT(refusal(ErrorKind::usage), HasSubstr("cuFileHandleRegister: cuFile error 5008 (CU_FILE_IO_NOT_SUPPORTED)"));
  follow({.failures = {{Call::read, 1, kIoError}}});
  EXPECT_THAT(refusal(ErrorKind::usage), HasSubstr("cuFile error 5044 (CU_FILE_IO_ERROR): the transfer failed; see cufile.log"));
}

TEST_F(CuFileChoice, ADriveThatFailsIsTheDrivesError) {
  follow({.failures = {{Call::write, 1, -EIO}}});
  EXPECT_THAT(refusal(ErrorKind::storage), HasSubstr("Input/output error"));
}

TEST_F(CuFileChoice, IsNeverTakenUnasked) {
  EngineReport report;
  engine_ = make_engine(EngineChoice::automatic, probe_.path(), {}, &report);
  EXPECT_NE(report.name, "cufile");
  EXPECT_EQ(testing::fake_cufile::calls(Call::driver_open), 0);
}

TEST_F(CuFileChoice, IsRequiredOfTheMachineBeforeAnyFolderIsKnown) {
  require_engine(EngineChoice::cufile);
  ASSERT_EQ(::setenv("GSNAKE_CUFILE", "/nowhere", 1), 0);
  require_engine(EngineChoice::automatic);
  try {
    require_engine(EngineChoice::cufile);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), ::testing::StartsWith("ssd.engine = \"cufile\": not available: /nowhere: cannot open shared object file"));
  }
}

// NVIDIA's own library says on stderr and in a file that it misses the driver: it is not asked.
TEST_F(CuFileStatusTest, WithoutTheCudaDriverThatIsTheReason) {
  if (void* driver = ::dlopen("libcuda.so.1", RTLD_LAZY); driver != nullptr) GTEST_SKIP() << "the CUDA driver is installed here";
  const CuFileStatus status = cufile_status();
  EXPECT_FALSE(status.available);
  EXPECT_EQ(describe(status),
            "not available: libcuda.so.1: cannot open shared object file: No such file or directory; install NVIDIA's driver, or set "
            "ssd.engine = \"io_uring\"");
}

}  // namespace
}  // namespace gsnake::io
