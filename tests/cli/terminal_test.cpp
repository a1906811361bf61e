// What a user at a terminal sees, and training from tokens instead of text.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "cli/command.h"

namespace gsnake::test {
namespace {

using testing::HasSubstr;

// The side of a terminal that its user looks at; the other side is the child's stderr.
class Terminal {
 public:
  explicit Terminal(unsigned short columns) : fd_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    if (fd_ < 0 || ::grantpt(fd_) != 0 || ::unlockpt(fd_) != 0) ADD_FAILURE() << "no pseudo-terminal";
    const winsize size{24, columns, 0, 0};
    ::ioctl(fd_, TIOCSWINSZ, &size);
    name() = ::ptsname(fd_);
  }
  ~Terminal() { ::close(fd_); }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // Its path, where a child that was given no argument finds it.
  static std::string& name() {
    static std::string path;
    return path;
  }

  // All that was written until the other side was closed.
  std::string read_all() {
    std::string text;
    char buffer[4096];
    for (ssize_t count = ::read(fd_, buffer, sizeof buffer); count > 0; count = ::read(fd_, buffer, sizeof buffer)) text.append(buffer, static_cast<std::size_t>(count));
    return text;
  }

 private:
  int fd_;
};

const Surroundings kAtTerminal{{}, [] {
                                 const int fd = ::open(Terminal::name().c_str(), O_RDWR | O_NOCTTY);
                                 if (fd < 0 || ::dup2(fd, STDERR_FILENO) < 0 || ::close(fd) != 0) ::_exit(126);
                               }};

class TerminalTest : public CommandTest {};

TEST_F(TerminalTest, ShowsOneProgressLineThatStaysWithinItsColumns) {
  constexpr unsigned short kColumns = 60;
  Terminal terminal(kColumns);
  Process process(folder_, "watched", train_arguments({}, {}), kAtTerminal);
  const std::string text = terminal.read_all();
  ASSERT_EQ(process.wait().status, 0) << text;
  EXPECT_THAT(text, HasSubstr("\r\x1b[Kstep 1/6"));
  EXPECT_THAT(text, HasSubstr("\r\x1b[Kstep 6/6"));
  for (std::size_t at = text.find("\x1b[K"); at != std::string::npos; at = text.find("\x1b[K", at + 1)) {
    const std::size_t begin = at + 3;
    EXPECT_LT(text.find_first_of("\r\n", begin) - begin, kColumns);
  }
  EXPECT_EQ(text.find("info step"), std::string::npos) << "the log's lines of steps are for files";
}

// nanoGPT's prepare.py writes such files: 16-bit tokens and nothing else.
TEST_F(TerminalTest, TokensOfANanoGptFileTrainAsTheTextThatTheyAre) {
  std::ifstream text(folder_ / "corpus.txt", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(text), {}};
  std::ofstream tokens(folder_ / "corpus.bin", std::ios::binary);
  for (const char byte : bytes) {
    const char pair[2] = {byte, 0};
    tokens.write(pair, 2);
  }
  tokens.close();
  ASSERT_EQ(train().status, 0);
  const Outcome outcome = train({"data.train=corpus.bin", "run.dir=tokens", "ssd.paths=tokens-ssd"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(losses("tokens"), losses());
  EXPECT_EQ(losses().size(), 6U);
}

}  // namespace
}  // namespace gsnake::test
