#include "store/layout/bandwidth.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/bytes.h"
#include "core/errors.h"
#include "core/log.h"
#include "io/directories.h"
#include "io/engine.h"
#include "memory/anonymous.h"
#include "store/transfer/transfer.h"

namespace gsnake::store {
namespace {

constexpr std::uint64_t kFileBytes = 16ULL << 20;
constexpr std::uint64_t kRequestBytes = 1ULL << 20;
constexpr int kRounds = 2;

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

class Probe {
 public:
  Probe(const std::string& directory, io::DirectIo direct)
      : file_(io::make_nameless_file(directory, kFileBytes, direct)),
        engine_(io::make_thread_engine({})),
        file_id_(engine_->add_file(file_)),
        memory_(kFileBytes) {
    // Not zeros: a drive may compress or skip them.
    std::uint64_t state = 0x9E3779B97F4A7C15ULL;
    for (std::size_t i = 0; i < kFileBytes; i += sizeof(state)) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      std::copy_n(reinterpret_cast<const std::byte*>(&state), sizeof(state), memory_.data() + i);
    }
  }

  // Seconds to write the file, make it durable, and read it back.
  double round() {
    const double write_seconds = seconds_of([this] {
      run(io::Direction::write);
      file_.sync_data();
    });
    // Only matters to a buffered file, whose pages would answer in the drive's stead.
    ::posix_fadvise(file_.fd(), 0, 0, POSIX_FADV_DONTNEED);
    return write_seconds + seconds_of([this] { run(io::Direction::read); });
  }

 private:
  void run(io::Direction op) {
    std::vector<io::Request> requests;
    for (std::uint64_t offset = 0; offset < kFileBytes; offset += kRequestBytes) {
      requests.push_back({op, file_id_, offset, memory_.data() + offset, kRequestBytes, nullptr});
    }
    transfer_all(*engine_, requests, [this](const io::Request&) { return file_.path(); });
  }

  io::File file_;
  std::unique_ptr<io::IoEngine> engine_;
  int file_id_;
  memory::AnonymousMemory memory_;
};

double bytes_per_second(const std::string& directory, io::DirectIo direct) {
  Probe probe(directory, direct);
  double best_seconds = probe.round();
  for (int round = 1; round < kRounds; ++round) best_seconds = std::min(best_seconds, probe.round());
  return 2.0 * static_cast<double>(kFileBytes) / std::max(best_seconds, 1e-6);
}

}  // namespace

std::vector<double> round_to_sixteenths(const std::vector<double>& weights) {
  const double fastest = *std::max_element(weights.begin(), weights.end());
  std::vector<double> rounded;
  for (const double weight : weights) rounded.push_back(std::max(1.0, std::round(16.0 * (weight / fastest))) / 16.0);
  return rounded;
}

std::vector<double> measure_stripe_weights(const std::vector<std::string>& directories, io::DirectIo direct) {
  if (directories.size() == 1) return {1.0};
  std::vector<double> rates;
  for (const std::string& directory : directories) {
    rates.push_back(bytes_per_second(directory, direct));
    spdlog::info("{}: {}/s", directory, core::format_bytes(static_cast<std::uint64_t>(rates.back())));
  }
  return round_to_sixteenths(rates);
}

}  // namespace gsnake::store
