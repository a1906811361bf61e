#include <gtest/gtest.h>

#include <cerrno>
#include <limits>

#include "greedysnake/error.h"
#include "memory/anonymous.h"

namespace gsnake::memory {
namespace {

// Beyond the address space of every machine, so that no limit has to be set and no page is touched.
TEST(AnonymousMemory, RefusesWhatTheKernelCannotMapAsABudgetError) {
  for (const std::size_t bytes : {std::size_t{1} << 60, std::numeric_limits<std::size_t>::max()}) {
    try {
      AnonymousMemory block(bytes);
      FAIL() << "mapped " << bytes;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::budget);
      EXPECT_EQ(error.code().value(), ENOMEM);
      EXPECT_NE(std::string(error.what()).find("lower memory.host_budget"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace gsnake::memory
