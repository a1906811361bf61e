// What `gsnake quantize` makes a base of.
#pragma once

#include <cstdint>
#include <memory>

#include "base/writer.h"
#include "convert/import_plan.h"
#include "greedysnake/hugging_face.h"

namespace gsnake::convert {

// Of every matrix by what it is; vectors are fp32.
struct BaseFormats {
  quant::Format blocks = quant::Format::nf4;
  quant::Format ends = quant::Format::bf16;  // embeddings and the head
};

// "nf4", or "nf4,bf16" with the ends'; these are bf16 where only one is given. Throws Error(usage).
BaseFormats base_formats(const std::string& text);

base::BaseManifest base_manifest(const Model& model, const plan::ModelLayout& layout, const BaseFormats& formats);

// Reads a unit's parameters in order, as fp32.
class UnitValues {
 public:
  virtual ~UnitValues() = default;
  virtual void begin(std::size_t unit, std::size_t parameter) = 0;
  virtual void read(std::uint64_t first, std::span<float> out) = 0;  // of the one that began; forward alone
};

// Packs every parameter of the layout, in which all are in one object a unit, and writes it, by all cores. In some 80 MiB and the scales of a matrix.
void write_base(const plan::ModelLayout& layout, const base::BaseManifest& manifest, UnitValues& values, base::BaseWriter& writer, const TransferProgress& progress);

// Normal(0, 0.02) for matrices, 1 for vectors that scale and 0 for others: a shape to measure with. By (seed, unit, parameter, element).
std::unique_ptr<UnitValues> random_values(const plan::ModelLayout& layout, std::uint64_t seed);

}  // namespace gsnake::convert
