// Sequential transfer rates of the I/O engines on one folder, beside fio's with io_uring on the same file.
//   bench_io FOLDER [SIZE]     e.g. bench_io /ssd "2 GiB"
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/bytes.h"
#include "core/errors.h"
#include "io/aligned_buffer.h"
#include "io/directories.h"
#include "io/engine.h"

namespace {

using namespace gsnake;

constexpr unsigned kDepth = 16;
constexpr std::size_t kBlockBytes = 4 << 20;
constexpr int kRepeats = 5;
const std::array kNames{"io_uring", "threads", "fio"};

// Keeps kDepth blocks in flight from first to last, each completion submitting the next.
class Stream {
 public:
  Stream(io::IoEngine& engine, io::Op op, std::byte* memory, std::uint64_t bytes) : engine_(engine), op_(op), blocks_(bytes / kBlockBytes) {
    for (unsigned i = 0; i < kDepth; ++i) lanes_.emplace_back(*this, memory + i * kBlockBytes);
  }
  // Bytes a second.
  double run() {
    const auto start = std::chrono::steady_clock::now();
    for (Lane& lane : lanes_) lane.submit_next();
    std::unique_lock lock(mutex_);
    over_.wait(lock, [this] { return idle_ == kDepth; });
    if (error_) core::throw_storage("measure", "the engine", error_, "");
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    return static_cast<double>(blocks_ * kBlockBytes) / seconds.count();
  }

 private:
  class Lane final : public io::Completion {
   public:
    Lane(Stream& stream, std::byte* memory) : stream_(stream), memory_(memory) {}
    void on_complete(std::error_code error) noexcept override {
      if (error) return stream_.end(error);
      submit_next();
    }
    void submit_next() noexcept {
      const std::uint64_t block = stream_.next_.fetch_add(1);
      if (block >= stream_.blocks_) return stream_.end({});
      const io::Request request{
          .op = stream_.op_, .file = 0, .offset = block * kBlockBytes, .data = memory_, .size = kBlockBytes, .completion = this};
      if (!stream_.engine_.try_submit({&request, 1})) stream_.end(std::make_error_code(std::errc::no_buffer_space));
    }

   private:
    Stream& stream_;
    std::byte* memory_;
  };

  void end(std::error_code error) noexcept {
    const std::lock_guard lock(mutex_);
    if (error) error_ = error;
    ++idle_;
    over_.notify_one();
  }

  io::IoEngine& engine_;
  io::Op op_;
  std::uint64_t blocks_;
  std::atomic<std::uint64_t> next_{0};
  std::deque<Lane> lanes_;
  std::mutex mutex_;
  std::condition_variable over_;
  unsigned idle_ = 0;
  std::error_code error_;
};

std::unique_ptr<io::IoEngine> make(const std::string& name) {
  const io::EngineOptions options{.depth = kDepth};
  return name == "threads" ? io::make_thread_engine(options) : io::make_uring_engine(options);
}

double measure(const std::string& name, io::Op op, const io::File& file, io::AlignedBuffer& memory) {
  const auto engine = make(name);
  engine->add_file(file);
  engine->register_buffer(memory.span());
  return Stream(*engine, op, memory.data(), file.size_bytes()).run();
}

// Nothing where fio is missing or fails. fio's memory gets huge pages through glibc, as ours has them.
std::optional<double> measure_fio(io::Op op, const io::File& file) {
  const std::string command = fmt::format(
      "GLIBC_TUNABLES=glibc.malloc.hugetlb=1 fio --mem=malloc --name=x --filename='{}' --size={} --rw={} --bs={} --iodepth={} "
      "--ioengine=io_uring --direct={} --fixedbufs=1 --registerfiles=1 "
      "--overwrite=0 --fallocate=none --minimal 2>/dev/null",
      file.path(), file.size_bytes(), op == io::Op::read ? "read" : "write", kBlockBytes, kDepth, file.direct() ? 1 : 0);
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
  if (!pipe) return std::nullopt;
  std::array<char, 4096> line{};
  if (std::fgets(line.data(), line.size(), pipe.get()) == nullptr) return std::nullopt;
  std::vector<std::string> fields{""};
  for (const char* c = line.data(); *c != '\0'; ++c) *c == ';' ? fields.emplace_back() : fields.back() += *c;
  // fio's terse format, version 3: KiB/s of reads and of writes.
  const std::size_t field = op == io::Op::read ? 6 : 47;
  if (fields.size() <= field || fields[0] != "3") return std::nullopt;
  return std::stod(fields[field]) * 1024.0;
}

using Rates = std::map<std::string, std::vector<double>>;

// Alternates between the contestants, so that a drive that changes its mind changes it for all; the first round warms up.
Rates measure_all(io::Op op, const io::File& file, io::AlignedBuffer& memory) {
  Rates rates;
  for (int round = 0; round <= kRepeats; ++round) {
    for (const std::string name : kNames) {
      const std::optional<double> rate = name == "fio" ? measure_fio(op, file) : measure(name, op, file, memory);
      if (rate && round > 0) rates[name].push_back(*rate);
    }
  }
  return rates;
}

void print(io::Op op, Rates rates) {
  for (auto& [name, values] : rates) std::ranges::sort(values);
  const double limit = rates.contains("fio") ? rates["fio"][rates["fio"].size() / 2] : 0.0;
  for (const auto& [name, values] : rates) {
    const double median = values[values.size() / 2];
    const std::string ratio = limit > 0.0 ? fmt::format("{:.2f} x fio", median / limit) : "fio is not installed";
    fmt::print("{:5} {:8}  {:6.2f} GB/s  ({:.2f} to {:.2f})  {}\n", op == io::Op::read ? "read" : "write", name, median / 1e9,
               values.front() / 1e9, values.back() / 1e9, ratio);
  }
}

int run(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : ".";
  const std::uint64_t bytes = core::round_up(core::parse_bytes(argc > 2 ? argv[2] : "1 GiB"), kBlockBytes);
  const io::File file = io::File::create(io::temporary_path(folder), bytes, io::DirectIo::automatic);
  const std::unique_ptr<const std::string, void (*)(const std::string*)> remover(&file.path(),
                                                                                 [](const std::string* path) { ::unlink(path->c_str()); });
  utsname machine{};
  ::uname(&machine);
  fmt::print("bench_io {} {}: Linux {}, {} CPUs; blocks of {}, depth {}; 1 warm-up, median of {} (spread); {}\n", folder,
             core::format_bytes(bytes), machine.release, std::thread::hardware_concurrency(), core::format_bytes(kBlockBytes), kDepth,
             kRepeats, file.direct() ? "O_DIRECT, no page cache" : "through the page cache (" + file.buffered_reason() + ")");
  io::AlignedBuffer memory(kDepth * kBlockBytes);
  // Writing first: a preallocated block that was never written is read without the drive.
  for (const io::Op op : {io::Op::write, io::Op::read}) print(op, measure_all(op, file, memory));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return error.exit_status();
  }
}
