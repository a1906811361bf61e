#include "greedysnake/run.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "batches.h"
#include "bindings.h"
#include "calls.h"
#include "results.h"
#include "units.h"

namespace gsnake::python {
namespace {

namespace nb = nanobind;

// An object of greedysnake/data.py's: next() gives (inputs, labels, starts), state() and restore() text. Called without the interpreter's lock.
class PythonBatches final : public BatchSource {
 public:
  explicit PythonBatches(nb::handle source) : source_(nb::borrow(source)) {}
  ~PythonBatches() override {
    const nb::gil_scoped_acquire lock;
    source_.reset();
  }
  PythonBatches(const PythonBatches&) = delete;
  PythonBatches& operator=(const PythonBatches&) = delete;

  void next(Batch& batch) override {
    in_python([&] {
      nb::object taken = source_.attr("next")();
      const PythonBatch ids(taken[0], taken[1], taken[2]);
      const BatchView view = ids.view();
      batch.inputs.assign(view.inputs.begin(), view.inputs.end());
      batch.labels.assign(view.labels.begin(), view.labels.end());
      batch.starts.assign(view.starts.begin(), view.starts.end());
    });
  }
  [[nodiscard]] std::string state() const override {
    return in_python([&] { return nb::cast<std::string>(source_.attr("state")()); });
  }
  void restore(const std::string& state) override {
    in_python([&] { source_.attr("restore")(state); });
  }
  [[nodiscard]] std::string description() const override {
    return in_python([&] { return nb::cast<std::string>(source_.attr("description")()); });
  }

 private:
  nb::object source_;
};

Batch validation_of(nb::handle batches) {
  Batch all;
  for (nb::handle taken : batches) {
    const PythonBatch ids(taken[0], taken[1], taken[2]);
    const BatchView view = ids.view();
    all.inputs.insert(all.inputs.end(), view.inputs.begin(), view.inputs.end());
    all.labels.insert(all.labels.end(), view.labels.begin(), view.labels.end());
    all.starts.insert(all.starts.end(), view.starts.begin(), view.starts.end());
  }
  return all;
}

// `batches` and `validation`: callables that greedysnake/run.py makes, called once when micro-batches are known, or None.
nb::dict train(const Config& config, nb::handle model, const std::string& resume, bool overwrite, std::vector<std::string> allow_change, std::optional<std::int64_t> from_step,
               std::string machine, nb::handle on_step, nb::handle batches, nb::handle validation, bool take_signals, bool show_progress) {
  RunRequest request;
  request.resume = choice<Resume>("resume", resume);
  request.overwrite = overwrite;
  request.allow_change = std::move(allow_change);
  request.from_step = from_step;
  request.machine = std::move(machine);
  request.take_signals = take_signals;
  request.terminal_progress = show_progress;
  if (!model.is_none()) {
    request.make_model = [model] {
      return in_python([&] { return to_model(model); });
    };
  }
  if (!on_step.is_none()) {
    request.on_step = [on_step](const StepResult& result, std::optional<double> validation_loss) {
      in_python([&] { on_step(to_dict(result), validation_loss); });
    };
  }
  if (!batches.is_none()) {
    request.make_batches = [batches](const Config& settled) -> std::unique_ptr<BatchSource> {
      return in_python([&] { return std::make_unique<PythonBatches>(batches(settled)); });
    };
  }
  if (!validation.is_none()) {
    request.make_validation = [validation](const Config& settled) {
      return in_python([&] { return validation_of(validation(settled)); });
    };
  }
  return to_dict(unlocked_call([&] { return run_training(config, request); }));
}

}  // namespace

void bind_run(nb::module_& module) {
  module.def("train", &train, nb::arg("config"), nb::arg("model").none(), nb::arg("resume"), nb::arg("overwrite"), nb::arg("allow_change"), nb::arg("from_step").none(), nb::arg("machine"),
             nb::arg("on_step").none(), nb::arg("batches").none(), nb::arg("validation").none(), nb::arg("take_signals"), nb::arg("show_progress"));
}

}  // namespace gsnake::python
