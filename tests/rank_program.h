// What the programs that tests start as ranks have in common: lines that the test reads, the last of them an error or "done".
#pragma once

#include <signal.h>
#include <sys/prctl.h>

#include <cstdio>
#include <exception>
#include <string>

#include "greedysnake/error.h"

namespace gsnake::test {

inline void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

// The program's exit status.
template <typename Work>
int as_rank(Work&& work) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // no rank outlives its test
  try {
    work();
    say("done");
    return 0;
  } catch (const Error& error) {
    say(error.what());
    return error.exit_status();
  } catch (const std::exception& error) {
    say(std::string("unexpected: ") + error.what());
    return 1;
  }
}

}  // namespace gsnake::test
