// What a GPU reads from packed weights, beside a copy of as many bytes in its memory.
//   bench_dequantise_gpu [--format nf4,int8] [--elements 67108864] [--repeats 9] [--json]
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "greedysnake/error.h"
#include "kernels/dequantise.h"
#include "quant/format.h"

namespace gsnake::bench {
namespace {

using Json = nlohmann::ordered_json;
using quant::Format;

constexpr std::int64_t kColumns = 4096;  // of the table that rows are gathered from
constexpr int kCalls = 10;               // of one measurement

struct Options {
  std::vector<std::string> formats{"fp32", "bf16", "int8", "nf4", "mxfp4"};
  std::int64_t elements = 64LL << 20;
  int repeats = 9;
  bool json = false;
};

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  throw Error(ErrorKind::device, fmt::format("bench_dequantise_gpu: {}: {}; it needs a GPU, with room for --elements", what, cudaGetErrorString(error)));
}

struct Free {
  void operator()(std::byte* memory) const { cudaFree(memory); }
};
using Memory = std::unique_ptr<std::byte, Free>;

Memory allocate(std::uint64_t bytes) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, bytes), "cannot allocate device memory");
  return Memory(static_cast<std::byte*>(memory));
}

struct DestroyEvent {
  void operator()(CUevent_st* event) const { cudaEventDestroy(event); }
};
using Event = std::unique_ptr<CUevent_st, DestroyEvent>;

Event make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event), "cannot make an event");
  return Event(event);
}

// Gigabytes a second of work that moves `bytes`.
double rate_of(std::uint64_t bytes, const std::function<cudaError_t()>& work) {
  static const Event begin = make_event();
  static const Event end = make_event();
  check(cudaEventRecord(begin.get(), nullptr), "cannot record an event");
  for (int call = 0; call < kCalls; ++call) check(work(), "cannot launch");
  check(cudaEventRecord(end.get(), nullptr), "cannot record an event");
  check(cudaEventSynchronize(end.get()), "a launch failed");
  float milliseconds = 0.0F;
  check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "cannot read an event");
  return static_cast<double>(bytes) * kCalls / 1e6 / static_cast<double>(milliseconds);
}

Json spread(std::vector<double> values) {
  std::ranges::sort(values);
  return {{"median", values[values.size() / 2]}, {"low", values.front()}, {"high", values.back()}};
}

std::string text(const Json& range, int digits) {
  return fmt::format("{:.{}f} ({:.{}f}..{:.{}f})", range["median"].get<double>(), digits, range["low"].get<double>(), digits, range["high"].get<double>(), digits);
}

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options), packed_(allocate(bytes_of(4))), out_(allocate(bytes_of(4))), values_(static_cast<std::size_t>(options.elements)) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0.0F, 0.02F);
    for (std::size_t i = 0; i < values_.size(); ++i) values_[i] = i < (1U << 20U) ? normal(random) : values_[i & ((1U << 20U) - 1U)];
    std::vector<std::int64_t> ids(static_cast<std::size_t>(rows()));
    std::iota(ids.begin(), ids.end(), std::int64_t{0});
    std::ranges::shuffle(ids, random);
    ids_ = allocate(ids.size() * sizeof(std::int64_t));
    check(cudaMemcpy(ids_.get(), ids.data(), ids.size() * sizeof(std::int64_t), cudaMemcpyHostToDevice), "cannot copy ids");
  }

  Json run() {
    Json results = Json::array();
    for (const std::string& name : options_.formats) {
      upload(name);
      for (const Dtype dtype : {Dtype::fp32, Dtype::bf16}) {
        compare(dtype);
        const std::uint64_t bytes = host_.size() + bytes_of(width(dtype));
        results.push_back(measure(name + " -> " + word_of(dtype), bytes, [&] { return kernels::dequantise(all(dtype), nullptr); }));
        results.push_back(measure("rows of " + name + " -> " + word_of(dtype), bytes + static_cast<std::uint64_t>(rows()) * sizeof(std::int64_t), [&] {
          const auto* const ids = reinterpret_cast<const std::int64_t*>(ids_.get());
          return kernels::gather({format_, packed_.get(), rows(), kColumns, ids, rows(), out_.get(), dtype}, nullptr);
        }));
      }
    }
    return results;
  }

 private:
  static std::size_t width(Dtype dtype) { return dtype == Dtype::fp32 ? 4 : 2; }
  [[nodiscard]] std::uint64_t bytes_of(std::size_t each) const { return static_cast<std::uint64_t>(options_.elements) * each; }
  [[nodiscard]] std::int64_t rows() const { return options_.elements / kColumns; }
  [[nodiscard]] kernels::DequantiseCall all(Dtype dtype) const { return {format_, packed_.get(), options_.elements, 0, options_.elements, out_.get(), dtype}; }

  void upload(const std::string& name) {
    const Format format = quant::format_of(name).value();
    format_ = static_cast<kernels::PackedFormat>(format);
    host_.resize(quant::packed_bytes(format, values_.size()));
    quant::Packer packer(format, values_.size(), [&](std::uint64_t offset, std::span<const std::byte> run) {
      std::ranges::copy(run, host_.begin() + static_cast<std::ptrdiff_t>(offset));
    });
    packer.add(values_);
    packer.finish();
    check(cudaMemcpy(packed_.get(), host_.data(), host_.size(), cudaMemcpyHostToDevice), "cannot copy packed weights");
  }

  // A fast kernel of wrong values is worth nothing.
  void compare(Dtype dtype) {
    check(kernels::dequantise(all(dtype), nullptr), "cannot launch");
    std::vector<std::byte> got(bytes_of(width(dtype)));
    check(cudaMemcpy(got.data(), out_.get(), got.size(), cudaMemcpyDeviceToHost), "a launch failed");
    std::vector<std::byte> want(got.size());
    const auto format = static_cast<Format>(format_);
    if (dtype == Dtype::fp32) {
      quant::dequantise(format, host_.data(), values_.size(), 0, std::span(reinterpret_cast<float*>(want.data()), values_.size()));
    } else {
      quant::dequantise(format, host_.data(), values_.size(), 0, std::span(reinterpret_cast<std::uint16_t*>(want.data()), values_.size()));
    }
    if (got != want) {
      throw Error(ErrorKind::device, fmt::format("bench_dequantise_gpu: {} as {} has other bits than the CPU's; run test_gpu_kernels",
                                                 quant::name_of(format), word_of(dtype)));
    }
  }

  // Alternates the two; the first round warms up.
  Json measure(const std::string& what, std::uint64_t bytes, const std::function<cudaError_t()>& work) {
    std::vector<double> rates, limits, ratios;
    const std::uint64_t half = std::min(bytes / 2, bytes_of(4));  // a copy reads what it writes
    for (int repeat = -1; repeat < options_.repeats; ++repeat) {
      const double limit = rate_of(2 * half, [&] { return cudaMemcpyAsync(out_.get(), scratch(half), half, cudaMemcpyDeviceToDevice, nullptr); });
      const double rate = rate_of(bytes, work);
      if (repeat < 0) continue;
      rates.push_back(rate);
      limits.push_back(limit);
      ratios.push_back(rate / limit);
    }
    return {{"what", what}, {"bytes", bytes}, {"gigabytes_per_second", spread(rates)}, {"copy_gigabytes_per_second", spread(limits)}, {"ratio", spread(ratios)}};
  }

  // What copies read: not the packed weights, which are shorter.
  std::byte* scratch(std::uint64_t bytes) {
    if (bytes > scratch_bytes_) {
      scratch_ = allocate(bytes);
      scratch_bytes_ = bytes;
    }
    return scratch_.get();
  }

  const Options& options_;
  Memory packed_;
  Memory out_;
  Memory ids_;
  Memory scratch_;
  std::uint64_t scratch_bytes_ = 0;
  std::vector<float> values_;
  std::vector<std::byte> host_;
  kernels::PackedFormat format_ = kernels::PackedFormat::fp32;
};

void print(const Options& options, const std::string& command, const Json& results) {
  cudaDeviceProp device{};
  check(cudaGetDeviceProperties(&device, 0), "cannot ask the GPU");
  const Json report{{"command", command},      {"device", device.name},          {"elements", options.elements}, {"columns", kColumns},
                    {"warm_up", 1},           {"repeats", options.repeats}, {"calls_a_repeat", kCalls}, {"limit", "cudaMemcpy in device memory, bytes read and written"},
                    {"results", results}};
  if (options.json) {
    fmt::print("{}\n", report.dump(2));
    return;
  }
  fmt::print("{}\n{}; {} elements, rows of {}; 1 warm-up, {} repeats of {} calls; median (lowest..highest)\n", command, device.name, options.elements, kColumns,
             options.repeats, kCalls);
  fmt::print("limit: a copy in device memory of as many bytes, read and written\n{:<24} {:>8}  {:<28} {:<28} {}\n", "what", "MB", "GB/s", "limit", "ratio");
  for (const Json& one : results) {
    fmt::print("{:<24} {:>8.0f}  {:<28} {:<28} {}\n", one["what"].get<std::string>(), one["bytes"].get<double>() / 1e6, text(one["gigabytes_per_second"], 1),
               text(one["copy_gigabytes_per_second"], 1), text(one["ratio"], 3));
  }
}

}  // namespace
}  // namespace gsnake::bench

int main(int argc, char** argv) {
  CLI::App app("What a GPU reads from packed weights, beside a copy of as many bytes in its memory.", "bench_dequantise_gpu");
  gsnake::bench::Options options;
  app.add_option("--format", options.formats, "formats to measure")->delimiter(',')->check(CLI::IsMember({"fp32", "bf16", "int8", "nf4", "mxfp4"}));
  app.add_option("--elements", options.elements, "take more than the GPU's cache holds")
      ->check(CLI::Range(std::int64_t{4096}, std::int64_t{1} << 34))
      ->capture_default_str();
  app.add_option("--repeats", options.repeats, "measurements of each")->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_flag("--json", options.json, "print JSON");
  CLI11_PARSE(app, argc, argv);
  std::string command = "bench_dequantise_gpu";
  for (int i = 1; i < argc; ++i) command += std::string(" ") + argv[i];
  try {
    gsnake::bench::print(options, command, gsnake::bench::Bench(options).run());
    return 0;
  } catch (const gsnake::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return error.exit_status();
  }
}
