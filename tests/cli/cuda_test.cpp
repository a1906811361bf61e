// `memory.device = "cuda:N"` is refused with the exact cause before any work, and "cpu" opens nothing of CUDA. The plug-in and, but for GPUs, the CUDA
// runtime are the real ones; stand-ins take the place of the driver and of libraries that this machine lacks (tests/cuda/probe).
#include <dlfcn.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "cli/command.h"

namespace gsnake::test {
namespace {

using testing::HasSubstr;
using testing::Not;

bool has_driver() { return ::dlopen("libcuda.so.1", RTLD_LAZY) != nullptr; }

class CudaTest : public CommandTest {
 protected:
  // The one line of a refused run that leaves nothing behind.
  std::string refusal(const std::vector<std::string>& environment, const std::string& device = "cuda:0") {
    const std::vector<std::string> before = files();
    const Outcome outcome = train({"memory.device=" + device}, {}, {environment, nullptr});
    expect_one_error_line(outcome, 2, "memory.device = \"" + device + "\"");
    EXPECT_THAT(outcome.err, HasSubstr("set memory.device = \"cpu\""));
    EXPECT_EQ(files(), before);
    return outcome.err;
  }
};

// What a process has mapped, from its start to its first step.
TEST_F(CudaTest, TheCpuOpensNothingOfCuda) {
  const Process process(folder_, "cpu", train_arguments({"train.steps=100000"}, {}));
  wait_for_steps(process, 1);
  std::ifstream file("/proc/" + std::to_string(process.pid()) + "/maps");
  const std::string maps{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(maps, HasSubstr("libtorch_cpu.so"));
  for (const char* library : {"greedysnake_cuda", "libtorch_cuda", "libc10_cuda", "libcuda.so"}) EXPECT_THAT(maps, Not(HasSubstr(library)));
}

// Every build says it, with a plug-in or without.
TEST_F(CudaTest, AMachineWithoutADriverIsToldSo) {
  if (has_driver()) GTEST_SKIP() << "this machine has an NVIDIA driver";
  EXPECT_THAT(refusal({}), HasSubstr("there is no NVIDIA driver (libcuda.so.1)"));
}

#ifdef GSNAKE_CUDA_STAND_INS

const std::string kStandIns = GSNAKE_CUDA_STAND_INS;
const std::string kLibraries = "LD_LIBRARY_PATH=" + kStandIns + "/libraries";
const std::string kDriver = kLibraries + ":" + kStandIns + "/driver";

TEST_F(CudaTest, NoDriver) {
  if (has_driver()) GTEST_SKIP() << "this machine has an NVIDIA driver";
  EXPECT_THAT(refusal({kLibraries}), HasSubstr("\"cuda:0\": there is no NVIDIA driver (libcuda.so.1); install one"));
}

TEST_F(CudaTest, ADriverThatIsTooOldIsNamedWithBothVersions) {
  EXPECT_THAT(refusal({kDriver, "FAKE_DRIVER_VERSION=12040"}), HasSubstr("too old: it supports CUDA 12.4, and this build needs 13.0; install a driver for CUDA 13.0"));
}

TEST_F(CudaTest, ADriverWithoutAGpuIsToldApartFromOneWhoseGpusAreHidden) {
  EXPECT_THAT(refusal({kDriver, "FAKE_DRIVER_VERSION=13000", "CUDA_VISIBLE_DEVICES"}), HasSubstr("the NVIDIA driver shows no GPU; see whether `nvidia-smi -L`"));
  EXPECT_THAT(refusal({kDriver, "FAKE_DRIVER_VERSION=13000", "CUDA_VISIBLE_DEVICES="}), HasSubstr("no GPU with CUDA_VISIBLE_DEVICES=\"\"; unset it"));
}

TEST_F(CudaTest, AnErrorOfTheRuntimeIsNamedInItsOwnWords) {
  const std::string runtime = "LD_PRELOAD=" + kStandIns + "/runtime/libfake_cuda_runtime.so";
  EXPECT_THAT(refusal({kLibraries, runtime, "FAKE_CUDA_ERROR=802"}), HasSubstr("cudaGetDeviceCount failed: system not yet initialized (cudaErrorSystemNotReady)"));
}

TEST_F(CudaTest, AGpuThatIsNotThereIsRefusedWithThoseThatAre) {
  const std::string runtime = "LD_PRELOAD=" + kStandIns + "/runtime/libfake_cuda_runtime.so";
  EXPECT_THAT(refusal({kLibraries, runtime, "FAKE_GPUS=2"}, "cuda:3"), HasSubstr("there is no cuda:3: the GPUs are cuda:0 to cuda:1; name one of these"));
  EXPECT_THAT(refusal({kLibraries, runtime, "FAKE_GPUS=1"}, "cuda:1"), HasSubstr("there is no cuda:1: the only GPU is cuda:0"));
  EXPECT_THAT(refusal({kLibraries, runtime, "FAKE_GPUS=1", "CUDA_VISIBLE_DEVICES=1"}, "cuda:1"), HasSubstr("the only GPU is cuda:0 (CUDA_VISIBLE_DEVICES=\"1\")"));
}

// A library of the plug-in's that can't be loaded, the driver being there.
TEST_F(CudaTest, ALibraryThatIsMissingIsNamed) {
  std::filesystem::copy(kStandIns + "/libraries", folder_ / "libraries");
  if (!std::filesystem::remove(folder_ / "libraries/libcusparseLt.so.0")) GTEST_SKIP() << "NVIDIA's libraries are all installed here";
  const std::string path = "LD_LIBRARY_PATH=" + (folder_ / "libraries").string() + ":" + kStandIns + "/driver";
  const std::string err = refusal({path, "FAKE_DRIVER_VERSION=13000"});
  EXPECT_THAT(err, HasSubstr("the CUDA plug-in " GSNAKE_PLUGIN " can't be opened: libcusparseLt.so.0: cannot open shared object file"));
  EXPECT_THAT(err, HasSubstr("add the folder of libcusparseLt.so.0 to LD_LIBRARY_PATH"));
  EXPECT_THAT(err, Not(HasSubstr("no NVIDIA driver")));
  EXPECT_THAT(refusal({path.substr(0, path.find(':'))}), HasSubstr("there is no NVIDIA driver (libcuda.so.1); besides, the CUDA plug-in "));
}

#endif

}  // namespace
}  // namespace gsnake::test
