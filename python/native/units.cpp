#include "units.h"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <set>
#include <utility>

#include "greedysnake/error.h"
#include "raised.h"
#include "tensors.h"

namespace gsnake::python {
namespace {

namespace nb = nanobind;

class Node : public torch::nn::Module {
 public:
  explicit Node(std::string name) : torch::nn::Module(std::move(name)) {}
};

// The tree of `source` and its parameters under `target`; a parameter that was met before is the same one, and counts once.
void mirror(torch::nn::Module& target, nb::handle source, std::set<at::TensorImpl*>& met) {
  nb::object parameters = source.attr("_parameters").attr("items")();
  for (nb::handle item : parameters) {
    if (item[1].is_none()) continue;
    const auto name = nb::cast<std::string>(item[0]);
    const torch::Tensor parameter = to_tensor(item[1], "parameter " + name);
    if (!parameter.is_floating_point()) throw Error(ErrorKind::usage, "parameter " + name + " is no tensor of floats; make it a buffer");
    if (met.insert(parameter.unsafeGetTensorImpl()).second) target.register_parameter(name, parameter, parameter.requires_grad());
  }
  nb::object children = source.attr("_modules").attr("items")();
  for (nb::handle item : children) {
    if (item[1].is_none()) continue;
    const auto name = nb::cast<std::string>(item[0]);
    mirror(*target.register_module(name, std::make_shared<Node>(name)), item[1], met);
  }
}

// What the three kinds of units share.
class Code {
 public:
  Code(torch::nn::Module& mirrored, nb::handle module, std::string name) : module_(nb::borrow(module)), name_(std::move(name)) {
    std::set<at::TensorImpl*> met;
    mirror(mirrored, module, met);
    module.attr("train")(true);  // whatever it was made in
  }

  [[nodiscard]] nb::handle module() const { return module_.get(); }

  void train(bool on) {
    if (on == training_) return;
    in_python([&] { module().attr("train")(on); });
    training_ = on;
  }

  torch::Tensor call(const torch::Tensor& input) const {
    // A copy: frames of a traceback may keep it longer than there are slots.
    return in_python([&] { return to_tensor(module()(to_python(input.clone())), "what unit '" + name_ + "' returned"); });
  }

  [[nodiscard]] bool has_loss_sum() const {
    const nb::gil_scoped_acquire lock;
    return nb::hasattr(module(), "loss_sum");
  }

  torch::Tensor loss_sum(const torch::Tensor& hidden, const torch::Tensor& labels) const {
    return in_python([&] { return to_tensor(module().attr("loss_sum")(to_python(hidden.clone()), to_python(labels.clone())), "what loss_sum of unit '" + name_ + "' returned"); });
  }

 private:
  Reference module_;
  std::string name_;
  bool training_ = true;
};

template <typename Base>
class PythonUnit : public Base {
 public:
  PythonUnit(nb::handle module, const std::string& name) : Base(name), code_(*this, module, name) {}
  torch::Tensor forward(const torch::Tensor& input) override { return code_.call(input); }
  void train(bool on) override {
    Base::train(on);
    code_.train(on);
  }

 private:
  Code code_;
};

class PythonHead final : public HeadUnit {
 public:
  PythonHead(nb::handle module, const std::string& name) : HeadUnit(name), code_(*this, module, name), own_loss_(code_.has_loss_sum()) {}
  torch::Tensor logits(const torch::Tensor& hidden) override { return code_.call(hidden); }
  torch::Tensor loss_sum(const torch::Tensor& hidden, const torch::Tensor& labels) override {
    return own_loss_ ? code_.loss_sum(hidden, labels) : HeadUnit::loss_sum(hidden, labels);
  }
  void train(bool on) override {
    HeadUnit::train(on);
    code_.train(on);
  }

 private:
  Code code_;
  bool own_loss_;
};

std::shared_ptr<torch::nn::Module> make_module(nb::handle module, const std::string& name, bool first, bool last) {
  if (first) return std::make_shared<PythonUnit<EmbeddingUnit>>(module, name);
  if (last) return std::make_shared<PythonHead>(module, name);
  return std::make_shared<PythonUnit<Unit>>(module, name);
}

NameMap names_of(nb::handle described) {
  NameMap names;
  const auto tensors = nb::cast<std::vector<std::pair<int, std::pair<std::string, std::string>>>>(described.attr("tensor_names"));
  for (const auto& [kind, name] : tensors) names.tensors.push_back({kind, name.first, name.second});
  names.base_prefix = nb::cast<std::string>(described.attr("base_prefix"));
  names.ignored_endings = nb::cast<std::vector<std::string>>(described.attr("ignored_endings"));
  return names;
}

}  // namespace

Model to_model(nb::handle described) {
  Model model;
  model.units = nb::cast<std::vector<int>>(described.attr("unit_kinds"));
  model.hidden = nb::cast<std::int64_t>(described.attr("hidden"));
  model.vocab = nb::cast<std::int64_t>(described.attr("vocab"));
  model.max_context = nb::cast<std::int64_t>(described.attr("max_context"));
  auto initializers = std::make_shared<std::vector<std::unique_ptr<Reference>>>();
  int number = 0;
  nb::object kinds = described.attr("make_kinds")();  // modules of this trainer's own
  for (nb::handle kind : kinds) {
    const auto name = nb::cast<std::string>(kind.attr("name"));
    std::shared_ptr<torch::nn::Module> module = make_module(kind.attr("module"), name, number == model.units.front(), number == model.units.back());
    model.kinds.push_back({name, std::move(module), nb::cast<double>(kind.attr("flops_per_token"))});
    initializers->push_back(std::make_unique<Reference>(kind.attr("initialize")));
    ++number;
  }
  model.initialize = [initializers, units = model.units](torch::nn::Module&, std::int64_t unit) {
    const torch::NoGradGuard no_grad;
    in_python([&] { (*initializers)[static_cast<std::size_t>(units[static_cast<std::size_t>(unit)])]->get()(unit); });
  };
  nb::object tied = described.attr("tied");
  if (!tied.is_none()) {
    const auto [embedding, head] = nb::cast<std::pair<std::string, std::string>>(tied);
    model.tied.push_back({embedding, head});
  }
  model.names = names_of(described);
  return model;
}

}  // namespace gsnake::python
