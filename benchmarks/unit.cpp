// One GPT-2 block in the dtypes that the CPU device computes in: fp32, fp32 on widened bf16 weights, bf16. Beside each the rate of its own
// matrix product, which is the limit.
#include <torch/torch.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "greedysnake/models.h"
#include "model/binding.h"
#include "model/unit_ops.h"

namespace {

using gsnake::Model;
using Clock = std::chrono::steady_clock;

struct Options {
  std::int64_t hidden = 768;
  std::int64_t heads = 12;
  std::int64_t tokens = 1024;
  int threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  int repeats = 9;
};

struct Variant {
  const char* name;
  at::ScalarType storage;
  at::ScalarType compute;
};

constexpr Variant kVariants[] = {{"fp32", torch::kFloat32, torch::kFloat32},
                                 {"bf16, fp32 on widened weights", torch::kBFloat16, torch::kFloat32},
                                 {"bf16, native", torch::kBFloat16, torch::kBFloat16}};

double milliseconds(const std::function<void()>& body) {
  const auto begin = Clock::now();
  body();
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

// What one micro-batch does with a block, on memory of its own.
class Block {
 public:
  Block(const Options& options, const Variant& variant) : variant_(variant), model_(make(options)), module_(*model_.kinds[1].module) {
    const auto layout = gsnake::optim::make_flat_layout(gsnake::model::parameters_of(module_), false);
    stored_ = (torch::randn(static_cast<std::int64_t>(layout.elements)) * 0.02).to(variant.storage);
    computed_ = stored_.to(variant.compute);
    gradients_ = torch::zeros(stored_.sizes());
    gsnake::model::bind_parameters(module_, gsnake::model::views(computed_.data_ptr(), layout, variant.compute));
    gsnake::model::set_gradients(module_, gsnake::model::views(gradients_.data_ptr(), layout));
    input_ = torch::randn({1, options.tokens, options.hidden}).to(variant.storage);
    output_ = torch::empty_like(input_);
    gradient_ = (torch::randn(input_.sizes()) * 1e-3).to(variant.storage);
    left_ = torch::randn({options.tokens, options.hidden}).to(variant.compute);
    right_ = torch::randn({4 * options.hidden, options.hidden}).to(variant.compute);
    flops_ = model_.kinds[1].forward_flops_per_token * static_cast<double>(options.tokens);
    product_flops_ = 8.0 * static_cast<double>(options.tokens * options.hidden * options.hidden);
  }

  [[nodiscard]] const char* name() const { return variant_.name; }
  [[nodiscard]] double forward_flops() const { return flops_; }
  [[nodiscard]] double product_flops() const { return product_flops_; }

  void widen() { computed_.copy_(stored_); }
  void forward() { gsnake::model::forward(module_, input_, output_, variant_.compute); }
  void backward() { gsnake::model::backward(module_, input_, gradient_, &output_, variant_.compute); }
  void product() { at::linear(left_, right_); }

 private:
  static Model make(const Options& options) {
    gsnake::ModelConfig config;
    config.layers = 1;
    config.hidden = options.hidden;
    config.heads = options.heads;
    config.vocab = 16;
    config.context = options.tokens;
    return gsnake::models::make(config);
  }

  Variant variant_;
  Model model_;
  torch::nn::Module& module_;
  torch::Tensor stored_, computed_, gradients_, input_, output_, gradient_, left_, right_;
  double flops_ = 0.0;
  double product_flops_ = 0.0;
};

struct Times {
  std::vector<double> widen, forward, backward, product;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::string spread(const std::vector<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  char text[64];
  std::snprintf(text, sizeof(text), "%8.2f (%.2f..%.2f)", median(values), *low, *high);
  return text;
}

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown CPU";
}

void report(const Block& block, const Times& times) {
  // Backward recomputes forward and costs twice as much again.
  const double all_ms = median(times.forward) + median(times.backward);
  const double rate = 4.0 * block.forward_flops() / all_ms / 1e6;
  const double limit = block.product_flops() / median(times.product) / 1e6;
  std::printf("%-30s  %s  %s  %8.2f  %7.1f  %7.1f  %5.2f\n", block.name(), spread(times.forward).c_str(), spread(times.backward).c_str(),
              median(times.widen), rate, limit, rate / limit);
}

int run(const Options& options, const std::string& command) {
  torch::set_num_threads(options.threads);
  std::printf("%s\n%s, %u cores, %d threads; a GPT-2 block: hidden %ld, %ld heads, %ld tokens\n", command.c_str(), cpu_name().c_str(),
              std::thread::hardware_concurrency(), options.threads, options.hidden, options.heads, options.tokens);
  std::printf(
      "1 warm-up, %d repeats, the variants in turn; median ms (lowest..highest). limit: the product with a (4 hidden, hidden) matrix\n",
      options.repeats);
  std::printf("%-30s  %-24s  %-24s  %8s  %7s  %7s  %5s\n", "stored, computed", "forward ms", "recompute + backward ms", "widen ms",
              "GFLOP/s", "limit", "ratio");
  std::vector<Block> blocks;
  blocks.reserve(std::size(kVariants));
  for (const Variant& variant : kVariants) blocks.emplace_back(options, variant);
  std::vector<Times> times(blocks.size());
  for (int repeat = -1; repeat < options.repeats; ++repeat) {
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const double widen = milliseconds([&] { blocks[i].widen(); });
      const double forward = milliseconds([&] { blocks[i].forward(); });
      const double backward = milliseconds([&] { blocks[i].backward(); });
      const double product = milliseconds([&] { blocks[i].product(); });
      if (repeat < 0) continue;
      times[i].widen.push_back(widen);
      times[i].forward.push_back(forward);
      times[i].backward.push_back(backward);
      times[i].product.push_back(product);
    }
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) report(blocks[i], times[i]);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"One block of a model in each dtype that the CPU device computes in"};
  app.add_option("--hidden", options.hidden, "size of a hidden state")->check(CLI::PositiveNumber);
  app.add_option("--heads", options.heads, "attention heads; they divide hidden")->check(CLI::PositiveNumber);
  app.add_option("--tokens", options.tokens, "of the micro-batch")->check(CLI::PositiveNumber);
  app.add_option("--threads", options.threads, "intra-op threads")->check(CLI::PositiveNumber);
  app.add_option("--repeats", options.repeats, "measurements of each")->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  std::string command;
  for (int i = 0; i < argc; ++i) command += (i == 0 ? "" : " ") + std::string(argv[i]);
  try {
    return run(options, command);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
