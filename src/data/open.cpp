#include "data/open.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/log.h"
#include "greedysnake/error.h"

namespace gsnake::data {

namespace {

Documents documents_of(const Config& config, const TokenSource& tokens) {
  if (config.data.documents != Documents::automatic) return config.data.documents;
  for (std::size_t file = 0; file < tokens.files(); ++file) {
    if (!tokens.file(file).holds_examples()) return Documents::joined;
  }
  return Documents::separate;
}

// Text needs a tokenizer that makes bytes of it.
void refuse_text(const Config& config, const TokenSource& tokens) {
  if (config.data.tokenizer == "bytes") return;
  for (std::size_t file = 0; file < tokens.files(); ++file) {
    if (tokens.file(file).is_text()) {
      const auto& path = tokens.file(file).path();
      throw Error(ErrorKind::usage,
                  fmt::format("data.tokenizer = \"{}\": {} is text; turn it into tokens first: scripts/tokenize --tokenizer {} {}",
                              config.data.tokenizer, path, config.data.tokenizer, path));
    }
  }
}

Part open_part(const Config& config, const std::vector<DataFile>& files, Access access) {
  const auto answer = config.train.objective == Objective::dpo ? config.train.sequence_length : 0;
  TokenSource tokens(files, config.model.vocab, config.data.separator, access, config.data.dtype, answer);
  refuse_text(config, tokens);
  const auto documents = documents_of(config, tokens);
  Part part{Windows(std::move(tokens), config.train.sequence_length, documents), 0, 0, 1.0};
  part.count = part.windows.count();
  return part;
}

// Files with weights are passed over one by one, others together.
std::vector<Part> open_parts(const Config& config, const std::vector<DataFile>& files, Access access) {
  std::vector<Part> parts;
  if (files.empty() || files.front().weight == 0.0) {
    parts.push_back(open_part(config, files, access));
    return parts;
  }
  for (const auto& file : files) {
    parts.push_back(open_part(config, {file}, access));
    parts.back().weight = file.weight;
  }
  return parts;
}

void warn_of_cuts(const std::vector<Part>& parts) {
  for (const auto& part : parts) {
    const auto& windows = part.windows;
    if (windows.cut_prompts() == 0) continue;
    spdlog::warn("{}: the prompts of {} of {} pairs lose their beginnings, so that the answers fit a row; raise train.sequence_length to keep them",
                 windows.tokens().describe(), windows.cut_prompts(), windows.count());
  }
}

// Where the windows that are held out begin.
std::uint64_t split_of(const Config& config, const Part& part) {
  const auto windows = part.windows.count();
  const auto held_out = static_cast<std::uint64_t>(std::llround(config.data.validation_split * static_cast<double>(windows)));
  const auto begin = part.windows.boundary_from(windows - std::clamp<std::uint64_t>(held_out, 1, windows));
  if (begin == 0 || begin >= windows) {
    throw Error(ErrorKind::input,
                fmt::format("{}: its {} rows cannot be split: data.validation_split = {} leaves none for training or none for "
                            "validation; change it, or name files in data.validation",
                            part.windows.tokens().describe(), windows, config.data.validation_split));
  }
  return begin;
}

}  // namespace

BatchStream open_training(const Config& config) {
  const auto access = config.data.order == WindowOrder::shuffled ? Access::random : Access::sequential;
  auto parts = open_parts(config, config.data.train, access);
  warn_of_cuts(parts);
  if (config.data.validation_split > 0.0) {
    for (auto& part : parts) part.count = split_of(config, part);
  }
  return {std::move(parts),
          {config.train.micro_batches, config.train.micro_batch_size, config.train.sequence_length},
          config.data.order,
          config.train.seed};
}

Validation open_validation(const Config& config) {
  const bool splits = config.data.validation.empty();
  auto parts = open_parts(config, splits ? config.data.train : config.data.validation, Access::sequential);
  if (!splits) {
    warn_of_cuts(parts);
  } else {
    for (auto& part : parts) {
      part.first = split_of(config, part);
      part.count -= part.first;
    }
  }
  BatchStream stream(std::move(parts), {1, config.train.micro_batch_size, config.train.sequence_length}, WindowOrder::sequential,
                     config.train.seed);
  const auto rows = static_cast<std::uint64_t>(config.train.micro_batch_size);
  const auto once = stream.windows_once(rows * static_cast<std::uint64_t>(config.train.validation_batches));
  return {std::move(stream), std::max<std::int64_t>(1, static_cast<std::int64_t>(once / rows))};
}

std::vector<std::string> describe(const BatchStream& stream, std::uint64_t rows) {
  std::vector<std::string> lines;
  for (std::size_t index = 0; index < stream.parts(); ++index) {
    const auto& part = stream.part(index);
    const auto& tokens = part.windows.tokens();
    auto line = fmt::format("{} ({}): {} tokens, {} {}", tokens.describe(), tokens.file(0).format(), tokens.size(), part.count,
                            part.windows.rows() == 2 ? "pairs" : "rows");
    if (stream.parts() > 1) line += fmt::format(", {:.3g}% of the batches", 100.0 * stream.share(index));
    const double passes = static_cast<double>(rows) * stream.share(index) / static_cast<double>(part.count);
    line += fmt::format(", {:.3g} passes", passes);
    if (part.windows.documents() == Documents::packed) line += fmt::format(", filled to {:.4g}%", 100.0 * part.windows.filled());
    if (part.windows.longer_documents() > 0)
      line += fmt::format("; {} documents are longer than a row and are cut", part.windows.longer_documents());
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace gsnake::data
