// A base of several buffers, which are written while others are filled.
#include "base/writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/support.h"
#include "greedysnake/error.h"

namespace gsnake::base {
namespace {

BaseManifest large_manifest() {
  BaseManifest manifest = sample_manifest();
  manifest.kinds[1].tensors.push_back({"mlp.up.weight", {1024, 10000}, "bf16", 0, 20480000});
  lay_out(manifest.kinds[1]);
  return manifest;
}

TEST_F(BaseTest, ALargeOneComesBack) {
  {
    BaseWriter writer(to_, large_manifest());
    write_tensors(writer, large_manifest(), 1 << 20);
    writer.finish();
  }
  const Base base = Base::open(to_);
  expect_content(base);
  base.verify({});
}

TEST_F(BaseTest, AFailureOfAWriteBehindIsToldAndLeavesNothing) {
  for (const std::uint64_t most : {8ULL << 20U, 30ULL << 20U}) {
    const pid_t child = ::fork();  // the limit is the process's
    if (child == 0) {
      int status = 1;
      try {
        BaseWriter writer(to_, large_manifest());
        const rlimit limit{most, most};
        ::setrlimit(RLIMIT_FSIZE, &limit);
        try {
          write_tensors(writer, large_manifest(), 1 << 20);
          writer.finish();
        } catch (const Error& error) {
          const bool named = error.kind() == ErrorKind::storage && std::string(error.what()).find("base.bin") != std::string::npos;
          try {
            writer.finish();
          } catch (const std::logic_error&) {
            status = named ? 0 : 2;
          }
        }
      } catch (...) {
        status = 3;
      }
      ::_exit(status);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status)) << status;
    EXPECT_EQ(WEXITSTATUS(status), 0);
    EXPECT_EQ(names_in(folder_.path()), std::set<std::string>{});
  }
}

}  // namespace
}  // namespace gsnake::base
