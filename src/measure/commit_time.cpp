#include "measure/commit_time.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <memory>

#include "core/errors.h"
#include "io/directories.h"
#include "io/engine.h"
#include "measure/drive_name.h"
#include "measure/median.h"
#include "measure/test_files.h"

namespace gsnake::measure {
namespace {

constexpr int kRounds = 9;
constexpr int kLeastRounds = 3;
constexpr double kEnough = 5.0;  // seconds, after which no more rounds are made than those
constexpr int kStateFiles = 3;  // weights and two moments
constexpr std::uint64_t kBlock = 4096;
constexpr std::size_t kTextBytes = 16 << 10;

// A folder's table of checksums and manifest, which go at the end.
class Texts {
 public:
  Texts(io::SyncOps& sync, const std::string& folder)
      : sync_(sync), folder_(folder), table_(io::temporary_path(folder)), manifest_(io::temporary_path(folder)), staged_(io::temporary_path(folder)) {}
  ~Texts() {
    for (const std::string& path : {table_, manifest_, staged_}) sync_.unlink(path.c_str());
  }
  Texts(const Texts&) = delete;
  Texts& operator=(const Texts&) = delete;

  void replace() {
    const std::span bytes = std::as_bytes(std::span(text_));
    if (io::overwrite_file(sync_, table_, bytes)) io::sync_directory(sync_, folder_);
    io::write_file(sync_, staged_, bytes);
    if (sync_.rename(staged_.c_str(), manifest_.c_str()) != 0) core::throw_storage("rename", staged_, core::errno_code(), "look at the drive");
    io::sync_directory(sync_, folder_);
  }

 private:
  io::SyncOps& sync_;
  const std::string folder_;
  const std::string table_;
  const std::string manifest_;
  const std::string staged_;
  const std::string text_ = std::string(kTextBytes, 'x');
};

// A path's files of state.
class State {
 public:
  State(io::SyncOps& sync, const std::string& folder) : sync_(sync), engine_(io::make_thread_engine({.threads = 1})) {
    for (int i = 0; i < kStateFiles; ++i) files_.push_back(io::make_nameless_file(folder, kTestFileMultiple, io::DirectIo::automatic));
    for (const io::File& file : files_) engine_->add_file(file);
    fill_with_noise(block_.span());
  }
  // The same place each time, as a run's files have been written before: a sync then finds nothing new of where their blocks are.
  void write() {
    for (int i = 0; i < kStateFiles; ++i) {
      io::transfer(*engine_, files_[static_cast<std::size_t>(i)], {.op = io::Direction::write, .file = i, .offset = 0, .data = block_.data(), .size = kBlock});
    }
  }
  void sync() const {
    for (const io::File& file : files_) io::sync_data(sync_, file.fd(), file.path());
  }

 private:
  io::SyncOps& sync_;
  std::vector<io::File> files_;  // the engine borrows their addresses
  io::AlignedBuffer block_{kBlock};
  std::unique_ptr<io::IoEngine> engine_;
};

class Commits {
 public:
  Commits(const std::vector<std::string>& paths, io::SyncOps& sync) {
    texts_.push_back(std::make_unique<Texts>(sync, nearest_folder(paths.front())));  // the run's own folder
    for (const std::string& path : paths) {
      texts_.push_back(std::make_unique<Texts>(sync, nearest_folder(path)));
      states_.push_back(std::make_unique<State>(sync, nearest_folder(path)));
    }
  }

  // What is written is no part of it: a commit follows the writes of the lanes.
  double seconds() {
    for (const auto& state : states_) state->write();
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::future<void>> others;
    for (std::size_t i = 1; i < states_.size(); ++i) {
      others.push_back(std::async(std::launch::async, [this, i] { states_[i]->sync(); }));
    }
    states_.front()->sync();
    for (std::future<void>& other : others) other.get();
    for (const auto& texts : texts_) texts->replace();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  std::vector<std::unique_ptr<Texts>> texts_;
  std::vector<std::unique_ptr<State>> states_;
};

}  // namespace

double commit_seconds(const std::vector<std::string>& paths, io::SyncOps& sync) {
  if (paths.empty()) return 0.0;
  Commits commits(paths, sync);
  commits.seconds();  // whose files are new
  std::vector<double> seconds;
  double all = 0.0;
  for (int round = 0; round < kRounds && (round < kLeastRounds || all < kEnough); ++round) {
    seconds.push_back(commits.seconds());
    all += seconds.back();
  }
  return median(std::move(seconds));
}

}  // namespace gsnake::measure
