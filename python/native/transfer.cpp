#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "calls.h"
#include "greedysnake/hugging_face.h"
#include "greedysnake/models.h"
#include "results.h"
#include "units.h"

namespace gsnake::python {
namespace {

namespace nb = nanobind;

TransferProgress progress_of(const Interruptible& work, const std::string& what) {
  return [&work, what](std::uint64_t done, std::uint64_t total) { work.told(what, done, total); };
}

nb::dict import_folder(const Config& config, nb::handle model, bool overwrite, nb::handle progress) {
  const Model made = model.is_none() ? models::make(config) : to_model(model);
  Interruptible work(progress);
  const ImportOptions options{overwrite, progress_of(work, "importing weights")};
  return to_dict(work.run([&] { return import_model(made, config, options); }));
}

nb::dict export_folder(const std::string& run, const std::string& to, nb::handle model, const std::string& dtype, bool merge, std::uint64_t shard_bytes, const std::string& config_json,
                       const std::vector<std::string>& ssd_paths, nb::handle progress) {
  Interruptible work(progress);
  ExportOptions options;
  if (!dtype.empty()) options.dtype = choice<Dtype>("dtype", dtype);
  options.merge = merge;
  options.shard_bytes = shard_bytes;
  options.config_json = config_json;
  options.ssd_paths = ssd_paths;
  options.progress = progress_of(work, "exporting weights");
  if (model.is_none()) return to_dict(work.run([&] { return export_run(run, to, options); }));
  const Model made = to_model(model);
  return to_dict(work.run([&] { return export_model(made, run, to, options); }));
}

nb::dict quantize_folder(const std::string& from, const std::string& to, const std::string& format, const std::string& embeddings, nb::handle progress) {
  Interruptible work(progress);
  QuantizeOptions options;
  options.format = format;
  options.embeddings = embeddings;
  options.progress = progress_of(work, "quantising weights");
  const ModelConfig shape = unlocked_call([&] { return Config::parse("", ".", {"model.from=" + from, "train.sequence_length=1"}).model; });
  return to_dict(work.run([&] { return quantize(from, shape, to, options); }));
}

}  // namespace

void bind_transfer(nb::module_& module) {
  module.def("import_folder", &import_folder, nb::arg("config"), nb::arg("model").none(), nb::arg("overwrite"), nb::arg("progress").none());
  module.def("export_folder", &export_folder, nb::arg("run"), nb::arg("to"), nb::arg("model").none(), nb::arg("dtype"), nb::arg("merge"), nb::arg("shard_bytes"),
             nb::arg("config_json"), nb::arg("ssd_paths"), nb::arg("progress").none());
  module.def("quantize_folder", &quantize_folder, nb::arg("source"), nb::arg("to"), nb::arg("format"), nb::arg("embeddings"), nb::arg("progress").none());
  module.def("run_config", &run_config, nb::arg("run"), nb::arg("ssd_paths"), nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace gsnake::python
