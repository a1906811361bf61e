// `gsnake doctor` in surroundings that are made for it: whatever it finds, it ends with 0 and says what a run would do.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string>
#include <vector>

#include "cli/command.h"

namespace gsnake::test {
namespace {

using testing::HasSubstr;

class DoctorTest : public CommandTest {
 protected:
  Json findings(const std::vector<std::string>& folders, const Surroundings& surroundings = {}) {
    std::vector<std::string> arguments{"doctor", "--json"};
    for (const std::string& folder : folders) arguments.insert(arguments.end(), {"--ssd", folder});
    const Outcome outcome = run(arguments, surroundings);
    if (outcome.status == 126 || outcome.status == 127) return {};
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    return Json::parse(outcome.out)["findings"];
  }
  static Json one(const Json& all, const std::string& id) {
    for (const Json& finding : all) {
      if (finding["id"] == id) return finding;
    }
    ADD_FAILURE() << "nothing is said of " << id;
    return Json::object();
  }
};

TEST_F(DoctorTest, SaysOfCudaWhatTrainSays) {
  const Json cuda = one(findings({}), "cuda");
  const Outcome refused = train({"memory.device=cuda:0"});
  if (cuda["status"] == "ok") GTEST_SKIP() << "CUDA can be used here";
  EXPECT_THAT(refused.err, HasSubstr(cuda["seen"].get<std::string>() + "; " + cuda["remedy"].get<std::string>()));
}

TEST_F(DoctorTest, PrintsALineForEachFindingAndLeavesNothingBehind) {
  const std::vector<std::string> before = files();
  const Outcome outcome = run({"doctor", "--ssd", "here", "--ssd", "there/below"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.err, "");
  for (const char* part : {"processor ", "memory ", "io_uring ", "here: ", "there/below: ", "shared_drive ", "driver ", "plugin ", " ok"}) {
    EXPECT_THAT(outcome.out, HasSubstr(part));
  }
  EXPECT_EQ(files(), before);
}

#ifdef GSNAKE_CUDA_STAND_INS
// The real plug-in, on a CUDA runtime that tells of two GPUs.
TEST_F(DoctorTest, TellsOfEachGpu) {
  const std::string stand_ins = GSNAKE_CUDA_STAND_INS;
  const Json all = findings({}, {{"LD_LIBRARY_PATH=" + stand_ins + "/libraries", "LD_PRELOAD=" + stand_ins + "/runtime/libfake_cuda_runtime.so", "FAKE_GPUS=2"}, nullptr});
  EXPECT_EQ(one(all, "driver")["seen"], "NVIDIA, for CUDA 13.1");
  EXPECT_EQ(one(all, "plugin")["status"], "ok");
  const Json first = one(all, "cuda:0");
  EXPECT_EQ(first["status"], "ok");
  EXPECT_EQ(first["detail"]["name"], "Fake A");
  EXPECT_EQ(first["detail"]["memory_bytes"], std::uint64_t{80} << 30);
  EXPECT_EQ(first["detail"]["free_bytes"], std::uint64_t{60} << 30);
  EXPECT_EQ(first["detail"]["unified_memory"], false);
  EXPECT_EQ(first["detail"]["pci_bus_id"], "0000:A0:00.0");
  const Json second = one(all, "cuda:1");
  EXPECT_EQ(second["status"], "lack") << "of compute capability 6.0";
  EXPECT_EQ(second["detail"]["free_bytes"], std::uint64_t{61} << 30);
  EXPECT_EQ(second["detail"]["unified_memory"], true);
}
#endif

// As containers' default profiles do.
TEST_F(DoctorTest, NamesTheFilterThatForbidsIoUring) {
  const Surroundings filtered{{}, [] {
                                sock_filter rules[] = {
                                    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                                    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
                                    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                                    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                                };
                                const sock_fprog program{4, rules};
                                if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) ::_exit(126);
                              }};
  const Json all = findings({}, filtered);
  if (all.is_null()) GTEST_SKIP() << "no seccomp filter can be set here";
  const Json ring = one(all, "io_uring");
  EXPECT_EQ(ring["status"], "lack");
  EXPECT_THAT(ring["seen"].get<std::string>(), HasSubstr("Operation not permitted; transfers go by threads"));
  EXPECT_THAT(ring["remedy"].get<std::string>(), HasSubstr("a seccomp filter forbids it"));
  EXPECT_EQ(one(all, "registered_buffers")["status"], "lack");
}

// Root is above the limit.
TEST_F(DoctorTest, NamesAnOrdinaryUsersLimitOfLockedMemory) {
  ASSERT_EQ(::chmod(folder_.c_str(), 0755), 0);
  const Surroundings ordinary{{}, [] {
                                const rlimit small{8 << 20, 8 << 20};
                                ::setrlimit(RLIMIT_MEMLOCK, &small);
                                if (::geteuid() == 0 && (::setresgid(65533, 65533, 65533) != 0 || ::setresuid(65533, 65533, 65533) != 0)) ::_exit(126);
                              }};
  const Json all = findings({"."}, ordinary);
  if (all.is_null()) GTEST_SKIP() << "the program can't be run by another user here";
  EXPECT_EQ(one(all, "locked_memory")["status"], "warn");
  EXPECT_EQ(one(all, "locked_memory")["detail"]["limit_bytes"], 8 << 20);
  const Json registered = one(all, "registered_buffers");
  EXPECT_EQ(registered["status"], "warn") << registered;
  EXPECT_THAT(registered["remedy"].get<std::string>(), HasSubstr("ulimit -l"));
  EXPECT_TRUE(::geteuid() != 0 || one(all, "direct_io")["status"] == "lack") << "the folder is another user's";
}

}  // namespace
}  // namespace gsnake::test
