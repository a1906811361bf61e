#include "measure/commit_time.h"

#include <algorithm>
#include <chrono>
#include <future>

#include "io/directories.h"
#include "io/durable.h"
#include "io/engine.h"
#include "io/replace_file.h"
#include "measure/drive_name.h"
#include "measure/test_files.h"

namespace gsnake::measure {
namespace {

constexpr int kRounds = 5;
constexpr std::uint64_t kBlock = 4096;
constexpr std::size_t kManifestBytes = 4096;

// A file that is replaced, and goes at the end.
class Manifest {
 public:
  explicit Manifest(const std::string& folder) : path_(io::temporary_path(folder)) { io::replace_file(path_, text_); }
  ~Manifest() { io::kernel_sync().unlink(path_.c_str()); }
  Manifest(const Manifest&) = delete;
  Manifest& operator=(const Manifest&) = delete;

  void replace() const { io::replace_file(path_, text_); }

 private:
  std::string path_;
  std::string text_ = std::string(kManifestBytes, 'x');
};

// What a commit touches of one path.
class Place {
 public:
  explicit Place(const std::string& folder)
      : manifest_(folder),
        file_(io::make_nameless_file(folder, kTestFileMultiple, io::DirectIo::automatic)),
        engine_(io::make_thread_engine({.threads = 1})) {
    engine_->add_file(file_);
    fill_with_noise(block_.span());
  }
  void write_and_sync(int round) {
    const std::uint64_t offset = static_cast<std::uint64_t>(round) * kBlock;
    io::transfer(*engine_, file_, {.op = io::Direction::write, .file = 0, .offset = offset, .data = block_.data(), .size = kBlock});
    file_.sync_data();
  }
  void replace_manifest() const { manifest_.replace(); }

 private:
  Manifest manifest_;
  io::File file_;
  io::AlignedBuffer block_{kBlock};
  std::unique_ptr<io::IoEngine> engine_;
};

double round_seconds(const std::vector<std::unique_ptr<Place>>& places, int round) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::future<void>> others;
  for (std::size_t i = 1; i < places.size(); ++i) {
    others.push_back(std::async(std::launch::async, [&, i] { places[i]->write_and_sync(round); }));
  }
  places.front()->write_and_sync(round);
  for (std::future<void>& other : others) other.get();
  for (const auto& place : places) place->replace_manifest();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

double commit_seconds(const std::vector<std::string>& paths) {
  if (paths.empty()) return 0.0;
  std::vector<std::unique_ptr<Place>> places;
  for (const std::string& path : paths) places.push_back(std::make_unique<Place>(nearest_folder(path)));
  std::vector<double> seconds;
  for (int round = 0; round < kRounds; ++round) seconds.push_back(round_seconds(places, round));
  std::ranges::nth_element(seconds, seconds.begin() + kRounds / 2);
  return seconds[kRounds / 2];
}

}  // namespace gsnake::measure
