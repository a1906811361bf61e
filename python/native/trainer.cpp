#include "greedysnake/trainer.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <pthread.h>

#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "batches.h"
#include "bindings.h"
#include "calls.h"
#include "greedysnake/models.h"
#include "results.h"
#include "tensors.h"
#include "units.h"

namespace gsnake::python {
namespace {

namespace nb = nanobind;

struct NamedShape {
  std::string name;
  std::vector<std::int64_t> sizes;
};

// By unit, its parameters in registration order. A tied head's shared one is the embedding's.
std::vector<std::vector<NamedShape>> parameters_of(const Model& model) {
  std::vector<std::vector<NamedShape>> all;
  for (std::size_t unit = 0; unit < model.units.size(); ++unit) {
    std::vector<NamedShape>& own = all.emplace_back();
    for (const auto& item : model.kinds[static_cast<std::size_t>(model.units[unit])].module->named_parameters()) {
      const bool shared = unit + 1 == model.units.size() && !model.tied.empty() && model.tied.front().head_name == item.key();
      if (!shared) own.push_back({item.key(), item.value().sizes().vec()});
    }
  }
  return all;
}

// The library names the threads of its lanes so.
bool on_a_lane() {
  std::array<char, 16> name{};
  return pthread_getname_np(pthread_self(), name.data(), name.size()) == 0 && std::string_view(name.data()).starts_with("gs-");
}

// A trainer that can be closed before Python drops it. Whatever waits for a lane lets go of the interpreter's lock: a lane may want it.
class PythonTrainer {
 public:
  PythonTrainer(Model model, const Config& config, TrainerOptions options, nb::handle progress) : parameters_(parameters_of(model)) {
    Interruptible work(progress);
    options.progress = [&work](const std::string& what, std::uint64_t done, std::uint64_t total) { work.told(what, done, total); };
    trainer_ = work.run([&] { return std::make_unique<Trainer>(std::move(model), config, options); });
  }
  // Collected on a lane of its own, whose unit runs Python code, it can't wait for itself.
  ~PythonTrainer() {
    if (trainer_ && on_a_lane()) {
      std::thread([trainer = std::move(trainer_)]() mutable { trainer.reset(); }).detach();
    } else {
      close();
    }
  }
  PythonTrainer(const PythonTrainer&) = delete;
  PythonTrainer& operator=(const PythonTrainer&) = delete;

  // A call that may take long: without the interpreter's lock, and with no other one, a close() on another thread among them.
  template <typename Call>
  auto alone(Call&& call) {
    const nb::gil_scoped_release unlocked;
    const std::lock_guard lock(busy_);
    return call(open());
  }

  void submit(nb::handle inputs, nb::handle labels, nb::handle starts) {
    const PythonBatch batch(inputs, labels, starts);
    alone([&](Trainer& trainer) { trainer.submit(batch.view()); });
  }

  nb::dict wait() {
    return to_dict(alone([](Trainer& trainer) { return trainer.wait(); }));
  }

  double validate(nb::handle inputs, nb::handle labels, nb::handle starts) {
    const PythonBatch batch(inputs, labels, starts);
    return alone([&](Trainer& trainer) { return trainer.validate(batch.view()); });
  }

  void commit() {
    alone([](Trainer& trainer) { trainer.commit(); });
  }

  // By name, views of one copy.
  nb::dict weights(std::int64_t unit) {
    const auto units = static_cast<std::int64_t>(parameters_.size());
    if (unit < 0) unit += units;  // from the head
    if (unit < 0 || unit >= units) throw nb::index_error("there is no such unit");
    auto flat = std::make_shared<std::vector<float>>(alone([&](Trainer& trainer) { return trainer.weights(unit); }));
    nb::dict named;
    std::size_t offset = 0;
    constexpr std::size_t kPadding = 16;  // elements: Trainer::weights()
    for (const NamedShape& parameter : parameters_[static_cast<std::size_t>(unit)]) {
      const torch::Tensor view = torch::from_blob(flat->data() + offset, parameter.sizes, [flat](void*) {}, torch::kFloat32);
      offset += (static_cast<std::size_t>(view.numel()) + kPadding - 1) / kPadding * kPadding;
      named[parameter.name.c_str()] = to_python(view);
    }
    return named;
  }

  void close() noexcept {
    const nb::gil_scoped_release unlocked;
    const std::lock_guard lock(busy_);
    trainer_.reset();
  }
  [[nodiscard]] bool closed() const { return trainer_ == nullptr; }

  Trainer& open() {
    if (!trainer_) throw Error(ErrorKind::usage, "the trainer is closed; make another one, which goes on from the last commit");
    return *trainer_;
  }

 private:
  std::vector<std::vector<NamedShape>> parameters_;
  std::mutex busy_;
  std::unique_ptr<Trainer> trainer_;
};

struct Options {
  std::string resume;
  bool overwrite;
  std::vector<std::string> allow_change;
  std::optional<std::int64_t> from_step;
  std::string machine;
  std::string data;
};

TrainerOptions to_options(const Options& given) {
  TrainerOptions options;
  options.resume = choice<Resume>("resume", given.resume);
  options.overwrite = given.overwrite;
  options.allow_change = given.allow_change;
  options.from_step = given.from_step;
  options.machine = given.machine;
  options.data = given.data;
  return options;
}

}  // namespace

void bind_trainer(nb::module_& module) {
  nb::class_<PythonTrainer>(module, "Trainer")
      .def("__init__",
           [](PythonTrainer* self, const Config& config, nb::object model, std::string resume, bool overwrite, std::vector<std::string> allow_change,
              std::optional<std::int64_t> from_step, std::string machine, std::string data, nb::object progress) {
             const Options options{std::move(resume), overwrite, std::move(allow_change), from_step, std::move(machine), std::move(data)};
             new (self) PythonTrainer(model.is_none() ? models::make(config) : to_model(model), config, to_options(options), progress);
           },
           nb::arg("config"), nb::arg("model").none(), nb::arg("resume"), nb::arg("overwrite"), nb::arg("allow_change"), nb::arg("from_step").none(), nb::arg("machine"),
           nb::arg("data"), nb::arg("progress").none())
      .def("submit", &PythonTrainer::submit, nb::arg("inputs"), nb::arg("labels"), nb::arg("starts").none())
      .def("wait", &PythonTrainer::wait)
      .def("validate", &PythonTrainer::validate, nb::arg("inputs"), nb::arg("labels"), nb::arg("starts").none())
      .def("commit", &PythonTrainer::commit)
      .def("weights", &PythonTrainer::weights, nb::arg("unit"))
      .def("close", &PythonTrainer::close)
      .def_prop_ro("closed", &PythonTrainer::closed)
      .def("take_traffic", [](PythonTrainer& self) { return to_dict(self.open().take_traffic()); })
      .def("report", [](PythonTrainer& self) { return to_dict(self.open().report()); })
      .def_prop_ro("completed_steps", [](PythonTrainer& self) { return self.open().completed_steps(); })
      .def_prop_ro("committed_step", [](PythonTrainer& self) { return self.open().committed_step(); })
      .def_prop_ro("in_flight", [](PythonTrainer& self) { return self.open().in_flight(); })
      .def_prop_rw(
          "data_position",
          [](PythonTrainer& self) {
            const DataPosition position = self.open().data_position();
            return nb::make_tuple(position.cursor, position.state);
          },
          [](PythonTrainer& self, const std::pair<std::uint64_t, std::string>& position) { self.open().set_data_position({position.first, position.second}); })
      .def("record_trace", [](PythonTrainer& self) { self.open().record_trace(); })
      .def("write_trace", [](PythonTrainer& self, const std::string& path) { self.alone([&](Trainer& trainer) { trainer.write_trace(path); }); }, nb::arg("path"));
}

}  // namespace gsnake::python
