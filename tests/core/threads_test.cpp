#include "core/threads.h"

#include <gtest/gtest.h>

#include <thread>

namespace gsnake::core {
namespace {

TEST(ThreadName, IsCutToWhatTheKernelKeeps) {
  std::thread([] {
    set_thread_name("gsnake-io");
    EXPECT_EQ(thread_name(), "gsnake-io");
    set_thread_name("gsnake-a-name-too-long");
    EXPECT_EQ(thread_name(), "gsnake-a-name-t");
  }).join();
}

}  // namespace
}  // namespace gsnake::core
