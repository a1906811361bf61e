#include "greedysnake/generator.h"

#include "core/threads.h"
#include "generate/text_generator.h"

namespace gsnake {

using generate::Engine;

class Generator::Impl : public generate::TextGenerator {
 public:
  using TextGenerator::TextGenerator;
};

Generator::Generator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Generator::Generator(const std::string& run_dir, const ModelOptions& options) : Generator(std::make_unique<Impl>(Engine::of_run(std::nullopt, run_dir, options))) {}
Generator::Generator(Model model, const std::string& run_dir, const ModelOptions& options) : Generator(std::make_unique<Impl>(Engine::of_run(std::move(model), run_dir, options))) {}
Generator Generator::of_folder(const std::string& folder, const ModelOptions& options) { return Generator(std::make_unique<Impl>(Engine::of_folder(folder, options))); }
Generator::~Generator() = default;
Generator::Generator(Generator&&) noexcept = default;
Generator& Generator::operator=(Generator&&) noexcept = default;
// A thread that is new computes with as many threads as the engine has asked for; the caller's own number is left alone.
std::vector<GeneratedText> Generator::generate(const std::vector<std::vector<std::int64_t>>& prompts, const GenerateOptions& options) {
  return core::on_own_thread([&] { return impl_->generate(prompts, options); });
}
const Config& Generator::config() const { return impl_->engine().config(); }
std::int64_t Generator::context() const { return impl_->engine().context(); }
GenerationCounts Generator::counts() const { return impl_->counts(); }
const std::vector<MemoryItem>& Generator::memory() const { return impl_->engine().memory(); }

}  // namespace gsnake
