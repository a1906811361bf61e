#include "inspected_base.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <map>
#include <vector>

#include "base/base.h"
#include "core/bytes.h"
#include "core/errors.h"
#include "core/model_shape.h"
#include "greedysnake/choices.h"
#include "hf/model_config.h"
#include "verify_progress.h"

namespace gsnake::command {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr std::array kParts{"blocks", "embeddings", "vectors"};
constexpr std::array kPartTexts{"matrices of blocks", "embeddings and head", "norms and biases"};
constexpr const char* kTokenizer = "tokenizer.json";

std::uint64_t elements_of(const base::BaseTensor& tensor) {
  std::uint64_t elements = 1;
  for (const std::int64_t size : tensor.sizes) elements *= static_cast<std::uint64_t>(size);
  return elements;
}

struct Amount {
  std::uint64_t parameters = 0;
  std::uint64_t bytes = 0;
};

// What is packed in which format, and what it comes to.
Json describe_parts(const base::BaseManifest& manifest) {
  std::map<std::pair<std::size_t, std::string>, Amount> amounts;
  for (std::size_t unit = 0; unit < manifest.units.size(); ++unit) {
    const bool is_end = unit == 0 || unit + 1 == manifest.units.size();
    for (const base::BaseTensor& tensor : manifest.kind_of(static_cast<int>(unit)).tensors) {
      Amount& amount = amounts[{tensor.sizes.size() < 2 ? 2 : is_end ? 1 : 0, tensor.format}];
      amount.parameters += elements_of(tensor);
      amount.bytes += tensor.bytes;
    }
  }
  Json parts = Json::array();
  for (const auto& [key, amount] : amounts) {
    parts.push_back({{"part", kParts.at(key.first)}, {"format", key.second}, {"parameters", amount.parameters}, {"bytes", amount.bytes}});
  }
  return parts;
}

// From the manifest, whose content the id is of, and not from config.json beside it.
Json describe_model(const base::BaseManifest& manifest, const std::string& path) {
  const ModelConfig model = core::spelt_out(hf::parse_model_config(path, manifest.model.dump()));
  return {{"family", word_of(model.family)}, {"layers", model.layers},   {"hidden", model.hidden}, {"heads", model.heads}, {"kv_heads", model.kv_heads},
          {"intermediate", model.intermediate}, {"vocab", model.vocab}, {"context", model.context}, {"tie_embeddings", model.tie_embeddings}};
}

Json describe_files(const std::string& folder) {
  std::vector<fs::directory_entry> entries;
  try {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      if (entry.is_regular_file()) entries.push_back(entry);
    }
    std::sort(entries.begin(), entries.end());
    Json files = Json::array();
    for (const fs::directory_entry& entry : entries) files.push_back({{"file", entry.path().filename().string()}, {"bytes", entry.file_size()}});
    return files;
  } catch (const fs::filesystem_error& error) {
    core::throw_storage("look at", folder, error.code(), "check its permissions");
  }
}

}  // namespace

Json describe_base(const std::string& folder, bool verify) {
  const base::Base base = base::Base::open(folder);
  const base::BaseManifest& manifest = base.manifest();
  Json parts = describe_parts(manifest);
  std::uint64_t parameters = 0;
  for (const Json& part : parts) parameters += part["parameters"].get<std::uint64_t>();
  Json description = {{"id", manifest.id},
                      {"format", manifest.format},
                      {"source", manifest.source},
                      {"model", describe_model(manifest, (fs::path(folder) / base::kManifestName).string())},
                      {"parameters", parameters},
                      {"bytes", base.bytes()},
                      {"bits_per_parameter", 8.0 * static_cast<double>(base.bytes()) / static_cast<double>(parameters)},
                      {"parts", std::move(parts)},
                      {"hashed_blocks", base.hashes().size()},
                      {"files", describe_files(folder)}};
  std::error_code ignored;
  description["tokenizer"] = fs::is_regular_file(fs::path(folder) / kTokenizer, ignored);
  if (!verify) return description;
  VerifyProgress progress;
  base.verify(std::ref(progress));
  description["verified"] = true;
  description["verified_bytes"] = progress.bytes();
  description["verify_seconds"] = progress.seconds();
  return description;
}

std::string base_text(const Json& base) {
  const Json& model = base["model"];
  const auto bytes_in = [](const Json& json, const char* key) { return core::format_bytes(json[key].get<std::uint64_t>()); };
  std::string text = fmt::format("base {} ({})\nmade of {}\n", base["id"].get<std::string>(), base["format"].get<std::string>(), base["source"].get<std::string>());
  text += fmt::format("model {}: {} layers, hidden {}, {} heads ({} of keys and values), intermediate {}, vocab {}{}\n", model["family"].get<std::string>(),
                      model["layers"].get<std::int64_t>(), model["hidden"].get<std::int64_t>(), model["heads"].get<std::int64_t>(), model["kv_heads"].get<std::int64_t>(),
                      model["intermediate"].get<std::int64_t>(), model["vocab"].get<std::int64_t>(), model["tie_embeddings"].get<bool>() ? ", tied" : "");
  text += fmt::format("{} parameters in {}: {:.2f} bits each\n", base["parameters"].get<std::uint64_t>(), bytes_in(base, "bytes"), base["bits_per_parameter"].get<double>());
  for (const Json& part : base["parts"]) {
    const auto name = std::find(kParts.begin(), kParts.end(), part["part"].get<std::string>()) - kParts.begin();
    text += fmt::format("  {:<19}  {:<5}  {:>14} parameters  {:>12}\n", kPartTexts.at(static_cast<std::size_t>(name)), part["format"].get<std::string>(),
                        part["parameters"].get<std::uint64_t>(), bytes_in(part, "bytes"));
  }
  text += "files:\n";
  for (const Json& file : base["files"]) text += fmt::format("  {:>12}  {}\n", bytes_in(file, "bytes"), file["file"].get<std::string>());
  if (!base["tokenizer"].get<bool>()) text += fmt::format("no {0}: gsnake generate needs --tokenizer, and an export has none\n", kTokenizer);
  if (base.contains("verified")) {
    text += fmt::format("verified: every byte of {} agrees with its hash ({:.1f} s)\n", bytes_in(base, "verified_bytes"), base["verify_seconds"].get<double>());
  }
  return text;
}

}  // namespace gsnake::command
