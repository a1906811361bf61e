#include "device/block_bench.h"

#include <torch/torch.h>

#include <thread>

#include "greedysnake/models.h"
#include "model/binding.h"
#include "model/unit_ops.h"
#include "plan/compute_dtype.h"
#include "torch/dtype.h"
#include "torch/gpu_settings.h"
#include "train/parts.h"

namespace gsnake::bench {
namespace {

using torch::Tensor;

Config config_of(const BlockOptions& options) {
  Config config;
  config.memory.device = options.device;
  config.model = options.model;
  config.train.dtype = options.dtype;
  return config;
}

class Bench {
 public:
  explicit Bench(const BlockOptions& options)
      : options_(options), config_(config_of(options)), opened_(train::open_device(config_)), place_(opened_.support ? opened_.support->device() : c10::Device(c10::kCPU)),
        compute_(backend::scalar_type(plan::resolve_compute_dtype(options.dtype, ComputeDtype::automatic, plan::native_dtypes(config_)))),
        model_(models::make(options.model)), module_(*model_.kinds[1].module) {
    on_stream([&] { make_tensors(); });
  }

  BlockReport run() {
    BlockReport report;
    report.options = options_;
    report.compute_dtype = backend::dtype_name(compute_);
    std::vector<double> forward, backward, limit, ratio;
    std::vector<std::vector<double>> parts(parts_.size());
    for (int repeat = -3; repeat < options_.repeats; ++repeat) {
      const double forward_ms = milliseconds([&] { model::forward(module_, input_, output_, compute_); });
      const double backward_ms = milliseconds([&] { model::backward(module_, input_, gradient_, &output_, compute_); });
      double sum = 0.0;
      std::vector<double> each;
      for (const Part& part : parts_) sum += each.emplace_back(milliseconds(part.body));
      if (repeat < 0) continue;
      forward.push_back(forward_ms);
      backward.push_back(backward_ms);
      limit.push_back(sum);
      ratio.push_back((forward_ms + backward_ms) / sum);
      for (std::size_t i = 0; i < each.size(); ++i) parts[i].push_back(each[i]);
    }
    double once = 0.0;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      report.parts.push_back({parts_[i].what, parts_[i].flops, spread_of(parts[i])});
      report.flops += parts_[i].flops;
      once += parts_[i].flops * parts_[i].without_recomputation;
      report.best_flops_per_second = std::max(report.best_flops_per_second, parts_[i].flops / report.parts.back().ms.median * 1e3);
    }
    report.forward_ms = spread_of(forward);
    report.backward_ms = spread_of(backward);
    report.limit_ms = spread_of(limit);
    report.ratio = spread_of(ratio);
    report.utilisation = once / ((report.forward_ms.median + report.backward_ms.median) / 1e3) / report.best_flops_per_second;
    return report;
  }

 private:
  struct Part {
    std::string what;
    double flops;
    double without_recomputation;  // the share of the flops
    std::function<void()> body;
  };

  device::Stream& stream() { return opened_.device->stream(device::StreamKind::compute); }
  double on_stream(const std::function<void()>& body, int times = 1) {
    return seconds_of(*opened_.device, stream(), [&] {
      stream().compute([&](const device::ComputeScope&) {
        const backend::GpuSettings settings(!place_.is_cpu(), options_.deterministic);
        for (int i = 0; i < times; ++i) body();
      });
    });
  }
  double milliseconds(const std::function<void()>& body) {
    const int times = place_.is_cpu() ? 1 : 10;
    return 1e3 * on_stream(body, times) / times;
  }

  void make_tensors() {
    const auto layout = optim::make_flat_layout(model::parameters_of(module_), false);
    const auto elements = static_cast<std::int64_t>(layout.elements);
    const auto options = torch::TensorOptions(place_);
    weights_ = (torch::randn({elements}, options) * 0.02).to(compute_);
    gradients_ = torch::zeros({elements}, options);
    model::bind_parameters(module_, model::views(weights_.data_ptr(), layout, compute_, place_));
    model::set_gradients(module_, model::views(gradients_.data_ptr(), layout, torch::kFloat32, place_));
    module_.train();
    input_ = torch::randn({options_.rows, options_.tokens, options_.model.hidden}, options).to(backend::scalar_type(options_.dtype));
    output_ = torch::empty_like(input_);
    gradient_ = (torch::randn(input_.sizes(), options) * 1e-3).to(input_.scalar_type());
    for (const auto& item : module_.named_parameters()) {
      if (item.value().dim() == 2) add_product(item.key().substr(0, item.key().rfind('.')), item.value().size(0), item.value().size(1));
    }
    add_attention();
  }

  // y = x w^T: forward twice, and the gradients of x and of w.
  void add_product(const std::string& name, std::int64_t out, std::int64_t in) {
    const auto options = torch::TensorOptions(place_).dtype(compute_);
    const std::int64_t tokens = options_.rows * options_.tokens;
    const Tensor x = torch::randn({tokens, in}, options);
    const Tensor w = torch::randn({out, in}, options);
    const Tensor y = torch::randn({tokens, out}, options);
    const double flops = 2.0 * static_cast<double>(tokens) * static_cast<double>(out) * static_cast<double>(in);
    const auto twice = [x, w] {
      const torch::NoGradGuard no_grad;
      at::linear(x, w);
      at::linear(x, w);
    };
    parts_.push_back({name + ": forward, recomputed", 2 * flops, 0.5, twice});
    parts_.push_back({name + ": gradient of the input", flops, 1.0, [y, w] { at::mm(y, w); }});
    parts_.push_back({name + ": gradient of the weight", flops, 1.0, [y, x] { at::mm(y.t(), x); }});
  }

  static Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v) {
    return at::scaled_dot_product_attention(q, k, v, {}, 0.0, /*is_causal=*/true, /*scale=*/std::nullopt, /*enable_gqa=*/q.size(1) != k.size(1));
  }

  void add_attention() {
    const ModelConfig& model = options_.model;
    const std::int64_t head = model.head_dim > 0 ? model.head_dim : model.hidden / model.heads;
    const auto options = torch::TensorOptions(place_).dtype(compute_);
    const auto make = [&](std::int64_t heads, bool with_grad) { return torch::randn({options_.rows, options_.tokens, heads, head}, options).transpose(1, 2).requires_grad_(with_grad); };
    const std::int64_t groups = model.kv_heads > 0 ? model.kv_heads : model.heads;
    const Tensor q = make(model.heads, false), k = make(groups, false), v = make(groups, false);
    const double flops = 2.0 * static_cast<double>(options_.rows * model.heads * head) * static_cast<double>(options_.tokens) * static_cast<double>(options_.tokens);  // causal: half of 4
    const auto twice = [q, k, v] {
      attend(q, k, v);
      attend(q, k, v);
    };
    const Tensor of = torch::randn({options_.rows, model.heads, options_.tokens, head}, options);
    const Tensor gq = make(model.heads, true), gk = make(groups, true), gv = make(groups, true);
    const Tensor attended = attend(gq, gk, gv);
    parts_.push_back({"attention: forward, recomputed", 2 * flops, 0.5, twice});
    parts_.push_back({"attention: backward", 2.5 * flops, 1.0, [=] { torch::autograd::grad({attended}, {gq, gk, gv}, {of}, /*retain_graph=*/true); }});
  }

  const BlockOptions options_;
  const Config config_;
  train::ComputeDevice opened_;
  const c10::Device place_;
  const at::ScalarType compute_;
  Model model_;
  torch::nn::Module& module_;
  Tensor weights_, gradients_, input_, output_, gradient_;
  std::vector<Part> parts_;
};

}  // namespace

BlockReport bench_block(const BlockOptions& options) {
  at::set_num_threads(options.threads > 0 ? options.threads : static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
  return Bench(options).run();
}

}  // namespace gsnake::bench
