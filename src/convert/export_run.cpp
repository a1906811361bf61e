#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "checkpoint/run_state.h"
#include "checkpoint/store_options.h"
#include "convert/carried_files.h"
#include "convert/committed_elements.h"
#include "convert/import_plan.h"
#include "core/errors.h"
#include "greedysnake/error.h"
#include "greedysnake/hugging_face.h"
#include "greedysnake/models.h"
#include "hf/model_config.h"
#include "hf/shard_writer.h"
#include "io/durable.h"
#include "model/layout.h"
#include "plan/numerics.h"

namespace gsnake {
namespace {


// A parameter of a unit's flat vector on its way to its tensor.
struct Destination {
  std::uint64_t offset = 0;  // in elements of the object
  std::uint64_t elements = 0;
  std::size_t tensor = 0;  // of the writer's
  std::uint64_t rows = 0;  // ours, where it is transposed; else 0
  std::uint64_t columns = 0;
};

struct Destinations {
  std::vector<std::vector<Destination>> by_object;
  std::vector<hf::Tensor> tensors;
};

Destinations destinations_of(const Model& model, const plan::ModelLayout& layout, Dtype dtype) {
  Destinations all;
  for (std::size_t object = 0; object < layout.object_count(); ++object) {
    std::vector<Destination>& own = all.by_object.emplace_back();
    const std::size_t unit = layout.unit_of(object);
    for (const optim::FlatParameter& parameter : layout.flat(object).parameters) {
      const TensorName& name = convert::name_of_parameter(model, unit, parameter.info.name);
      hf::Tensor tensor;
      tensor.name = convert::tensor_name(name, unit);
      tensor.dtype = hf::name_of(dtype);
      tensor.shape = convert::tensor_shape(name, parameter.info.sizes);
      own.push_back({parameter.offset, parameter.info.numel, all.tensors.size(), name.transposed ? tensor.shape[1] : 0,
                     name.transposed ? tensor.shape[0] : 0});
      all.tensors.push_back(std::move(tensor));
    }
  }
  return all;
}

// Collects rows of a matrix and writes them as columns: all at once where they take at most 64 MiB, else panel by panel.
class Transposer {
 public:
  Transposer(hf::ShardWriter& writer, std::uint64_t element_bytes) : writer_(writer), width_(element_bytes) {}

  // Row-major elements, in order from the first on.
  void add(const Destination& matrix, std::span<const std::byte> part) {
    const std::uint64_t row_bytes = matrix.columns * width_;
    while (!part.empty()) {
      const std::uint64_t most_rows = std::clamp<std::uint64_t>(kPanelBytes / row_bytes, 1, matrix.rows - row_);
      const std::size_t take = std::min<std::size_t>(part.size(), most_rows * row_bytes - panel_.size());
      panel_.insert(panel_.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(take));
      part = part.subspan(take);
      if (panel_.size() == most_rows * row_bytes) flush(matrix, most_rows);
    }
  }

 private:
  static constexpr std::uint64_t kPanelBytes = 64ULL << 20;

  void flush(const Destination& matrix, std::uint64_t rows) {
    turned_.resize(panel_.size());
    if (width_ == 4) {
      turn<std::uint32_t>(rows, matrix.columns);
    } else {
      turn<std::uint16_t>(rows, matrix.columns);
    }
    if (rows == matrix.rows) {
      writer_.write(matrix.tensor, 0, turned_);
    } else {
      for (std::uint64_t column = 0; column < matrix.columns; ++column) {
        writer_.write(matrix.tensor, (column * matrix.rows + row_) * width_,
                      std::span(turned_).subspan(column * rows * width_, rows * width_));
      }
    }
    row_ = row_ + rows == matrix.rows ? 0 : row_ + rows;
    panel_.clear();
  }

  template <typename T>
  void turn(std::uint64_t rows, std::uint64_t columns) {
    constexpr std::uint64_t kTile = 32;
    const T* from = reinterpret_cast<const T*>(panel_.data());
    T* to = reinterpret_cast<T*>(turned_.data());
    for (std::uint64_t row = 0; row < rows; row += kTile) {
      for (std::uint64_t column = 0; column < columns; column += kTile) {
        for (std::uint64_t c = column; c < std::min(columns, column + kTile); ++c) {
          for (std::uint64_t r = row; r < std::min(rows, row + kTile); ++r) to[c * rows + r] = from[r * columns + c];
        }
      }
    }
  }

  hf::ShardWriter& writer_;
  const std::uint64_t width_;
  std::uint64_t row_ = 0;  // of the matrix, at which the panel begins
  std::vector<std::byte> panel_;
  std::vector<std::byte> turned_;
};

class Exporter {
 public:
  Exporter(const Destinations& destinations, hf::ShardWriter& writer, Dtype dtype, const TransferProgress& progress)
      : destinations_(destinations), writer_(writer), width_(hf::size_of(dtype)), transposer_(writer, width_), progress_(progress) {}

  void take(std::uint32_t object, std::uint64_t first, std::span<const std::byte> values) {
    const std::uint64_t last = first + values.size() / width_;
    for (const Destination& each : destinations_.by_object.at(object)) {
      const std::uint64_t begin = std::max(first, each.offset);
      const std::uint64_t end = std::min(last, each.offset + each.elements);
      if (begin >= end) continue;
      const std::span<const std::byte> part = values.subspan((begin - first) * width_, (end - begin) * width_);
      if (each.rows > 0) {
        transposer_.add(each, part);
      } else {
        writer_.write(each.tensor, (begin - each.offset) * width_, part);
      }
      done_ += part.size();
    }
    if (progress_) progress_(done_, writer_.bytes());
  }

 private:
  const Destinations& destinations_;
  hf::ShardWriter& writer_;
  const std::uint64_t width_;
  Transposer transposer_;
  const TransferProgress& progress_;
  std::uint64_t done_ = 0;
};

hf::Json carried_config(const std::string& run_dir) {
  const std::string path = (std::filesystem::path(convert::carried_folder(run_dir)) / hf::kConfigName).string();
  const std::optional<std::string> text = io::read_whole_file(path);
  return text ? hf::parse_object(path, *text) : hf::Json();
}

void write_carried(const std::string& run_dir, hf::ShardWriter& writer) {
  for (const std::string& path : convert::carried_files(run_dir)) {
    const std::string name = std::filesystem::path(path).filename().string();
    const std::optional<std::string> bytes = name == hf::kConfigName ? std::nullopt : io::read_whole_file(path);
    if (bytes) writer.write_file(name, *bytes);
  }
}

// Of the built-in families; of others, what the caller says.
std::string config_text(const Config& config, const std::string& run_dir, Dtype dtype, const std::string& given) {
  if (given.empty()) return hf::make_model_config(config.model, dtype, carried_config(run_dir)).dump(2) + "\n";
  hf::Json json = hf::parse_object("ExportOptions::config_json", given);
  json["torch_dtype"] = hf::torch_name_of(dtype);
  return json.dump(2) + "\n";
}

void refuse_other_model(const plan::ModelLayout& layout, const nlohmann::json& training, const std::string& run_dir) {
  std::vector<std::uint64_t> elements;
  for (std::size_t object = 0; object < layout.object_count(); ++object) elements.push_back(layout.flat(object).elements);
  const checkpoint::RunState state = checkpoint::run_state_from(training);
  if (elements != state.elements || (!state.frozen_parameters.empty() && state.frozen_parameters != layout.frozen_parameters()))
    throw Error(ErrorKind::usage, "model: its units have other parameters, or others that take gradients, than those of the run in " + run_dir);
}

}  // namespace

TransferReport export_model(const Model& model, const std::string& run_dir, const std::string& to, const ExportOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  const Config config = run_config(run_dir, options.ssd_paths);
  const Dtype dtype = options.dtype.value_or(config.train.dtype);
  if (options.shard_bytes == 0) throw Error(ErrorKind::usage, "--shard-size 0: must be at least a byte");
  const plan::ModelLayout layout = model::layout_of(model, config.optimizer.decay_1d);
  Destinations destinations = destinations_of(model, layout, dtype);
  const std::string config_json = config_text(config, config.run.dir, dtype, options.config_json);

  const auto store = store::Store::open_reader(checkpoint::store_options(config));
  const nlohmann::json& training = store->manifest()->training;
  refuse_other_model(layout, training, run_dir);
  hf::ShardWriter writer(to, destinations.tensors, options.shard_bytes);
  Exporter exporter(destinations, writer, dtype, options.progress);
  convert::visit_committed_elements(
      *store, plan::numerics_of(config).optimizer.weights, dtype,
      [&](std::uint32_t object, std::uint64_t first, std::span<const std::byte> values) { exporter.take(object, first, values); });
  writer.write_file(hf::kConfigName, config_json);
  write_carried(config.run.dir, writer);
  writer.finish();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  return {checkpoint::run_state_from(training).step, layout.parameters(), writer.bytes(), writer.files(), dtype, seconds.count()};
}

TransferReport export_run(const std::string& run_dir, const std::string& to, const ExportOptions& options) {
  return export_model(models::make(run_config(run_dir, options.ssd_paths).model), run_dir, to, options);
}

}  // namespace gsnake
