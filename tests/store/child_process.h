// A forked child that says something and then waits to be killed.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>

namespace gsnake::store::testing {

class ChildProcess {
 public:
  // Sends its argument to the parent and never returns: whatever the child owns then stays owned until it is killed.
  using Tell = std::function<void(const std::string&)>;

  // Returns when the child has told or has ended. Fork before the test starts threads.
  explicit ChildProcess(const std::function<void(const Tell&)>& work) {
    int ends[2] = {-1, -1};
    if (::pipe(ends) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ < 0) std::abort();
    if (pid_ == 0) run(work, ends);
    ::close(ends[1]);
    char block[512];
    for (ssize_t count = 0; (count = ::read(ends[0], block, sizeof(block))) > 0;) said_.append(block, static_cast<std::size_t>(count));
    ::close(ends[0]);
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess() { kill(); }

  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] const std::string& said() const noexcept { return said_; }  // empty when it failed

 private:
  [[noreturn]] static void run(const std::function<void(const Tell&)>& work, const int (&ends)[2]) {
    ::close(ends[0]);
    try {
      work([&](const std::string& text) {
        if (::write(ends[1], text.data(), text.size()) < 0) ::_exit(1);
        ::close(ends[1]);
        for (;;) ::pause();
      });
    } catch (...) {
    }
    ::_exit(1);
  }

  pid_t pid_ = -1;
  std::string said_;
};

}  // namespace gsnake::store::testing
