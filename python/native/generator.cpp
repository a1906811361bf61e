#include "greedysnake/generator.h"

#include <nanobind/stl/function.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "calls.h"
#include "greedysnake/evaluate.h"
#include "units.h"

namespace gsnake::python {
namespace {

namespace nb = nanobind;
using Tokens = std::vector<std::int64_t>;

ModelOptions options_of(std::vector<std::string> ssd_paths, std::string device, std::uint64_t device_budget, std::uint64_t host_budget, std::int64_t context) {
  return {std::move(ssd_paths), std::move(device), device_budget, host_budget, context};
}

// `Opened`: Generator or Evaluator. Of a run where `is_run`, else of a Hugging Face folder.
template <typename Opened>
void open(Opened* self, const std::string& path, bool is_run, nb::handle model, std::vector<std::string> ssd_paths, std::string device, std::uint64_t device_budget, std::uint64_t host_budget,
          std::int64_t context) {
  const ModelOptions options = options_of(std::move(ssd_paths), std::move(device), device_budget, host_budget, context);
  if (!model.is_none()) {
    Model made = to_model(model);
    const nb::gil_scoped_release unlocked;
    new (self) Opened(std::move(made), path, options);
    return;
  }
  const nb::gil_scoped_release unlocked;
  if (is_run) {
    new (self) Opened(path, options);
  } else {
    new (self) Opened(Opened::of_folder(path, options));
  }
}

nb::list generate(Generator& self, const std::vector<Tokens>& prompts, std::int64_t tokens, double temperature, std::int64_t top_k, double top_p, std::uint64_t seed, Tokens stop, bool drafts,
                  nb::handle take) {
  GenerateOptions options{{temperature, top_k, top_p, seed}, tokens, std::move(stop), drafts, {}};
  if (!take.is_none()) {
    options.take = [take](std::size_t prompt, std::int64_t token) {
      return in_python([&] {
        nb::object answer = take(prompt, token);
        return answer.is_none() || nb::cast<bool>(answer);
      });
    };
  }
  nb::list texts;
  for (const GeneratedText& text : unlocked_call([&] { return self.generate(prompts, options); })) texts.append(nb::make_tuple(text.tokens, text.stopped));
  return texts;
}

nb::dict counts_of(const Generator& self) {
  const GenerationCounts counts = self.counts();
  nb::dict values;
  values["passes"] = counts.passes;
  values["positions"] = counts.positions;
  values["drafted"] = counts.drafted;
  values["accepted"] = counts.accepted;
  values["read_bytes"] = counts.read_bytes;
  return values;
}

std::vector<double> log_likelihoods(Evaluator& self, const std::vector<std::pair<Tokens, std::size_t>>& texts, std::int64_t stride, std::int64_t pass_tokens) {
  std::vector<ScoredTokens> scored;
  for (const auto& [tokens, first] : texts) scored.push_back({tokens, first});
  EvaluateOptions options;
  options.stride = stride;
  options.pass_tokens = pass_tokens;
  return unlocked_call([&] { return self.log_likelihoods(scored, options); });
}

nb::dict evaluate(Evaluator& self, const std::string& path, nb::handle encode, std::int64_t stride, std::int64_t pass_tokens) {
  EvaluateOptions options;
  options.stride = stride;
  options.pass_tokens = pass_tokens;
  const auto encoded = [encode](const std::string& text) {
    return in_python([&] { return nb::cast<Tokens>(encode(text)); });
  };
  const EvaluationReport report = unlocked_call([&] { return self.evaluate(path, encoded, options); });
  nb::dict values;
  values["text_rows"] = report.texts.rows;
  values["tokens"] = report.texts.tokens;
  values["negative_log_likelihood"] = report.texts.tokens == 0 ? nb::none() : nb::cast(report.texts.negative_log_likelihood);
  values["perplexity"] = report.texts.tokens == 0 ? nb::none() : nb::cast(report.texts.perplexity);
  values["choice_rows"] = report.choices.rows;
  values["accuracy"] = report.choices.rows == 0 ? nb::none() : nb::cast(report.choices.accuracy);
  values["normalised_accuracy"] = report.choices.rows == 0 ? nb::none() : nb::cast(report.choices.normalised_accuracy);
  values["passes"] = report.passes;
  values["seconds"] = report.seconds;
  return values;
}

template <typename Opened>
nb::class_<Opened> bind_opened(nb::module_& module, const char* name) {
  return nb::class_<Opened>(module, name)
      .def("__init__", &open<Opened>, nb::arg("path"), nb::arg("is_run"), nb::arg("model").none(), nb::arg("ssd_paths"), nb::arg("device"), nb::arg("device_budget"), nb::arg("host_budget"),
           nb::arg("context"))
      .def_prop_ro("context", &Opened::context);
}

}  // namespace

void bind_generator(nb::module_& module) {
  bind_opened<Generator>(module, "Generator")
      .def("generate", &generate, nb::arg("prompts"), nb::arg("tokens"), nb::arg("temperature"), nb::arg("top_k"), nb::arg("top_p"), nb::arg("seed"), nb::arg("stop"), nb::arg("drafts"),
           nb::arg("take").none())
      .def("counts", &counts_of);
  bind_opened<Evaluator>(module, "Evaluator")
      .def("log_likelihoods", &log_likelihoods, nb::arg("texts"), nb::arg("stride"), nb::arg("pass_tokens"))
      .def("evaluate", &evaluate, nb::arg("path"), nb::arg("encode"), nb::arg("stride"), nb::arg("pass_tokens"));
}

}  // namespace gsnake::python
