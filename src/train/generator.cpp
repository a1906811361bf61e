#include "greedysnake/generator.h"

#include <algorithm>

#include "checkpoint/base_folder.h"
#include "checkpoint/rank_folders.h"
#include "checkpoint/store_options.h"
#include "device/named_device.h"
#include "greedysnake/error.h"
#include "greedysnake/hugging_face.h"
#include "greedysnake/models.h"
#include "plan/base_layout.h"
#include "train/sampling.h"
#include "train/session.h"

namespace gsnake {
class Generator::Impl {
 public:
  Impl(const std::string& run_dir, const std::vector<std::string>& ssd_paths, const std::string& device) : config(config_of(run_dir, ssd_paths, device)), session_(models::make(config), config, train::Purpose::sample, parts()) {
    store::StoreOptions storage = checkpoint::store_options(config);
    storage.base = plan::base_file(session_.base, session_.layout);
    session_.store = checkpoint::open_reader(storage);
    checkpoint::refuse_other_base(session_.store->manifest()->training, session_.base ? session_.base->manifest().id : "", session_.config);
    session_.start(checkpoint::StartState::sampled, nullptr);
    backend_->set_head_sink([this](HeadUnit& head, const torch::Tensor& hidden) {
      const torch::NoGradGuard no_grad;
      logits_ = head.logits(hidden.select(1, hidden.size(1) - 1)).select(0, 0).to(torch::kFloat32).clone();
    });
  }

  std::int64_t next(const std::vector<std::int64_t>& tokens, const SamplingOptions& options) {
    check(options);
    if (tokens.empty()) throw Error(ErrorKind::usage, "a prompt of at least one token is needed");
    for (const std::int64_t token : tokens) {
      if (token >= 0 && token < config.model.vocab) continue;
      throw Error(ErrorKind::usage, "token id " + std::to_string(token) + " of the prompt is not below model.vocab = " + std::to_string(config.model.vocab) +
                                        "; use the tokenizer that the run's data was made with");
    }
    const auto window = static_cast<std::size_t>(config.train.sequence_length);
    seen_.assign(tokens.end() - static_cast<std::ptrdiff_t>(std::min(window, tokens.size())), tokens.end());
    backend_->set_tokens(static_cast<std::int64_t>(seen_.size()));
    batch_.training = false;
    batch_.inputs = seen_;
    batch_.losses.resize(1);
    session_.executor->wait_results(session_.executor->validate(batch_));
    if (!generator_.defined()) generator_ = at::make_generator<at::CPUGeneratorImpl>(options.seed);
    return train::sample(logits_.to(torch::kCPU), options, generator_);
  }

  const Config config;

 private:
  static Config config_of(const std::string& run_dir, const std::vector<std::string>& ssd_paths, const std::string& device) {
    Config config = run_config(run_dir, ssd_paths);
    if (!device.empty()) config.memory.device = device;
    device::require_device(config.memory.device);  // before LibTorch asks itself whether it has CUDA, and remembers
    if (config.memory.device != "cpu") config.train.compute_dtype = ComputeDtype::automatic;
    config.validate();
    return config;
  }
  // The default ones; of the backend it is known that it is LibTorch's.
  train::Parts parts() {
    train::Parts parts;
    parts.make_backend = [this](Model& model, const plan::ModelLayout& layout, const backend::ComputeShape& shape) {
      auto made = std::make_unique<backend::TorchBackend>(model, layout, shape);
      backend_ = made.get();
      return made;
    };
    return parts;
  }

  // Before the session, whose lanes use them until they end.
  std::vector<std::int64_t> seen_;
  runtime::StepBatch batch_;
  torch::Tensor logits_;  // of the last position; written on the compute lane, read after wait_results()
  at::Generator generator_;
  backend::TorchBackend* backend_ = nullptr;  // the session's
  train::Session session_;
};

Generator::Generator(const std::string& run_dir, const std::vector<std::string>& ssd_paths, const std::string& device) : impl_(std::make_unique<Impl>(run_dir, ssd_paths, device)) {}
Generator::~Generator() = default;
std::int64_t Generator::next(const std::vector<std::int64_t>& tokens, const SamplingOptions& options) { return impl_->next(tokens, options); }
const Config& Generator::config() const { return impl_->config; }

}  // namespace gsnake
