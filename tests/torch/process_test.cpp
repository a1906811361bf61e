// The number of threads that LibTorch computes with is the program's before and after.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "core/threads.h"
#include "greedysnake/error.h"
#include "torch/process.h"

namespace gsnake::backend {
namespace {

int threads_of_a_new_thread() {
  return core::on_own_thread([] { return at::get_num_threads(); });
}

TEST(ProcessSettings, ThreadsAreSetForNewOnesAndTheProgramsNumberComesBack) {
  const int own = at::get_num_threads();
  const int of_new_ones = threads_of_a_new_thread();
  const int wanted = of_new_ones + 1;
  {
    const auto settings = ProcessSettings::use(wanted);
    EXPECT_EQ(threads_of_a_new_thread(), wanted);
    EXPECT_EQ(at::get_num_threads(), own) << "of the thread that asked";
    const auto same = ProcessSettings::use(wanted);
    EXPECT_EQ(same, settings);
  }
  EXPECT_EQ(threads_of_a_new_thread(), of_new_ones);
  EXPECT_EQ(at::get_num_threads(), own);
}

TEST(ProcessSettings, AnotherNumberBesideIsRefused) {
  const auto settings = ProcessSettings::use(1);
  try {
    static_cast<void>(ProcessSettings::use(2));
    FAIL() << "two numbers of threads at once";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_NE(std::string(error.what()).find("train.compute_threads"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace gsnake::backend
