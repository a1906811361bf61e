#include "ssd/workload.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>

#include "core/bytes.h"
#include "core/errors.h"
#include "io/cufile.h"
#include "io/directories.h"

namespace gsnake::bench {
namespace {

constexpr std::uint64_t kFileMultiple = 16ULL << 20;
constexpr double kGib = 1024.0 * 1024.0 * 1024.0;

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Where a block belongs: of the blocks of its operation it is number `rank`.
struct Turn {
  io::Direction op = io::Direction::read;
  std::uint64_t rank = 0;
};

Turn turn_of(double read_share, std::uint64_t block) {
  const auto reads_before = static_cast<std::uint64_t>(static_cast<double>(block) * read_share);
  const auto reads_after = static_cast<std::uint64_t>(static_cast<double>(block + 1) * read_share);
  if (reads_after > reads_before) return {io::Direction::read, reads_before};
  return {io::Direction::write, block - reads_before};
}

// Keeps `depth` blocks in flight, each completion submitting the next.
class Stream {
 public:
  Stream(io::IoEngine& engine, Mode mode, const Setting& setting, const TestFiles& files, std::byte* memory)
      : engine_(engine),
        read_share_(mode == Mode::mix    ? setting.read_share
                    : mode == Mode::read ? 1.0
                                         : 0.0),
        setting_(setting),
        files_(files.files().size()),
        blocks_(files.total_bytes() / setting.block_bytes) {
    for (unsigned i = 0; i < setting.depth; ++i) lanes_.emplace_back(*this, memory + i * setting.block_bytes);
  }

  Sample run() {
    const double cpu = cpu_seconds();
    const auto start = std::chrono::steady_clock::now();
    for (Lane& lane : lanes_) lane.submit_next();
    {
      std::unique_lock lock(mutex_);
      over_.wait(lock, [this] { return idle_ == lanes_.size(); });
      if (error_) core::throw_storage("measure", "the engine", error_, "");
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    const auto bytes = static_cast<double>(blocks_ * setting_.block_bytes);
    return {bytes / seconds.count(), (cpu_seconds() - cpu) / (bytes / kGib), static_cast<double>(reads_) / static_cast<double>(blocks_)};
  }

 private:
  class Lane final : public io::Completion {
   public:
    Lane(Stream& stream, std::byte* memory)
        : stream_(stream), memory_(memory), requests_(stream.setting_.block_bytes / stream.piece_bytes()) {}
    void on_complete(std::error_code error) noexcept override {
      if (error) failed_ = true;
      if (error) stream_.fail(error);
      if (pending_.fetch_sub(1) > 1) return;
      failed_ ? stream_.end() : submit_next();
    }
    void submit_next() noexcept {
      const std::uint64_t block = stream_.next_.fetch_add(1);
      if (block >= stream_.blocks_) return stream_.end();
      stream_.plan(block, memory_, *this, requests_);
      pending_ = requests_.size();
      if (stream_.engine_.try_submit(requests_)) return;
      stream_.fail(std::make_error_code(std::errc::no_buffer_space));
      stream_.end();
    }

   private:
    Stream& stream_;
    std::byte* memory_;
    std::vector<io::Request> requests_;
    std::atomic<std::size_t> pending_{0};
    std::atomic<bool> failed_{false};
  };

  [[nodiscard]] std::uint64_t piece_bytes() const { return setting_.stripe_bytes == 0 ? setting_.block_bytes : setting_.stripe_bytes; }

  void plan(std::uint64_t block, std::byte* memory, io::Completion& completion, std::vector<io::Request>& requests) {
    const Turn turn = turn_of(read_share_, block);
    if (turn.op == io::Direction::read) ++reads_;
    const std::uint64_t first = turn.rank * requests.size();
    for (std::size_t i = 0; i < requests.size(); ++i) {
      requests[i] = {.op = turn.op,
                     .file = static_cast<int>((first + i) % files_),
                     .offset = (first + i) / files_ * piece_bytes(),
                     .data = memory + i * piece_bytes(),
                     .size = piece_bytes(),
                     .completion = &completion};
    }
  }

  void fail(std::error_code error) noexcept {
    const std::lock_guard lock(mutex_);
    error_ = error;
  }
  void end() noexcept {
    const std::lock_guard lock(mutex_);
    ++idle_;
    over_.notify_one();
  }

  io::IoEngine& engine_;
  const double read_share_;
  const Setting& setting_;
  const std::uint64_t files_;
  const std::uint64_t blocks_;
  std::atomic<std::uint64_t> next_{0};
  std::atomic<std::uint64_t> reads_{0};
  std::deque<Lane> lanes_;
  std::mutex mutex_;
  std::condition_variable over_;
  std::size_t idle_ = 0;
  std::error_code error_;
};

std::unique_ptr<io::IoEngine> make_engine(const std::string& name, const io::EngineOptions& options) {
  if (name == "threads") return io::make_thread_engine(options);
  if (name == "cufile") return io::make_cufile_engine(options);
  return io::make_uring_engine(options);
}

}  // namespace

std::string_view name_of(Mode mode) noexcept { return mode == Mode::read ? "read" : mode == Mode::write ? "write" : "mix"; }

TestFiles::TestFiles(const std::vector<std::string>& directories, unsigned per_directory, std::uint64_t total_bytes, io::DirectIo direct)
    : TestFiles(core::round_up(core::ceil_div(total_bytes, directories.size() * per_directory), kFileMultiple)) {
  io::AlignedBuffer content(kFileMultiple);
  std::uint64_t state = 0x9E3779B97F4A7C15ULL;
  for (std::byte& value : content.span()) value = static_cast<std::byte>((state = state * 6364136223846793005ULL + 1) >> 56);
  for (unsigned i = 0; i < per_directory; ++i) {
    for (const std::string& directory : directories) add(directory, direct, content);
  }
}

// Writes all of it: a preallocated block that was never written is read without asking the drive.
void TestFiles::add(const std::string& directory, io::DirectIo direct, io::AlignedBuffer& content) {
  const io::File& file = files_.emplace_back(io::make_nameless_file(directory, file_bytes_, direct));
  const auto engine = io::make_thread_engine({});
  engine->add_file(file);
  for (std::uint64_t offset = 0; offset < file_bytes_; offset += kFileMultiple) {
    io::transfer(*engine, file, {.op = io::Direction::write, .file = 0, .offset = offset, .data = content.data(), .size = kFileMultiple});
  }
  file.sync_data();
}

bool TestFiles::direct() const noexcept { return std::ranges::all_of(files_, &io::File::direct); }

std::string TestFiles::buffered_reason() const {
  const auto buffered = std::ranges::find_if_not(files_, &io::File::direct);
  return buffered == files_.end() ? "" : buffered->buffered_reason();
}

void TestFiles::drop_cache() const {
  for (const io::File& file : files_) {
    if (file.direct()) continue;
    file.sync_data();
    static_cast<void>(::posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED));
  }
}

Sample measure(const std::string& engine, Mode mode, const Setting& setting, const TestFiles& files, io::AlignedBuffer& memory) {
  io::EngineOptions options = setting.engine;
  options.depth = setting.depth * static_cast<unsigned>(setting.stripe_bytes == 0 ? 1 : setting.block_bytes / setting.stripe_bytes);
  const auto made = make_engine(engine, options);
  for (const io::File& file : files.files()) made->add_file(file);
  made->register_buffer(memory.span().first(setting.depth * setting.block_bytes));
  files.drop_cache();
  return Stream(*made, mode, setting, files, memory.data()).run();
}

}  // namespace gsnake::bench
