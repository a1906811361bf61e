// A base made up for tests: written, read back, looked at.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/base.h"
#include "base/writer.h"
#include "temporary_folder.h"

namespace gsnake::base {

namespace fs = std::filesystem;

inline BaseKind kind_of(std::vector<BaseTensor> tensors) {
  BaseKind kind{std::move(tensors), 0};
  lay_out(kind);
  return kind;
}

// An embedding, two blocks of one kind that span several hash blocks, a head without a parameter of its own, and a last one.
inline BaseManifest sample_manifest() {
  BaseManifest manifest;
  manifest.format = "nf4";
  manifest.model = {{"model_type", "llama"}, {"rms_norm_eps", 1e-5}, {"hidden_size", 64}};
  manifest.kinds = {kind_of({{"weight", {1000, 64}, "bf16", 0, 128000}}),
                    kind_of({{"attention.weight", {512, 512}, "nf4", 0, 147456},
                             {"norm.weight", {13}, "fp32", 0, 52},
                             {"mlp.weight", {64, 700}, "int8", 0, 45501}}),
                    kind_of({}), kind_of({{"norm.weight", {3}, "fp32", 0, 12}})};
  manifest.units = {0, 1, 1, 2, 3};
  manifest.source = "a model made up for a test";
  return manifest;
}

inline std::vector<std::byte> values_of(int unit, std::size_t tensor, std::uint64_t bytes) {
  std::mt19937_64 random(1000 * static_cast<std::uint64_t>(unit) + tensor);
  std::vector<std::byte> values(bytes);
  for (std::byte& value : values) value = static_cast<std::byte>(random());
  return values;
}

inline void write_tensors(BaseWriter& writer, const BaseManifest& manifest, std::size_t piece_bytes) {
  for (int unit = 0; unit < static_cast<int>(manifest.units.size()); ++unit) {
    const std::vector<BaseTensor>& tensors = manifest.kind_of(unit).tensors;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const std::vector<std::byte> values = values_of(unit, i, tensors[i].bytes);
      for (std::size_t at = 0; at < values.size(); at += piece_bytes) {
        writer.write(unit, tensors[i].offset + at, std::span(values).subspan(at, std::min(piece_bytes, values.size() - at)));
      }
    }
  }
}

inline std::string make_base(const std::string& to, std::size_t piece_bytes = 70001) {
  BaseWriter writer(to, sample_manifest());
  writer.write_file("config.json", "{}");
  write_tensors(writer, sample_manifest(), piece_bytes);
  return writer.finish();
}

inline void expect_content(const Base& base) {
  for (int unit = 0; unit < static_cast<int>(base.manifest().units.size()); ++unit) {
    const BaseKind& kind = base.manifest().kind_of(unit);
    std::vector<std::byte> expected(kind.bytes);
    for (std::size_t i = 0; i < kind.tensors.size(); ++i) {
      const std::vector<std::byte> values = values_of(unit, i, kind.tensors[i].bytes);
      std::memcpy(expected.data() + kind.tensors[i].offset, values.data(), values.size());
      std::vector<std::byte> tensor(values.size());
      base.read(unit, kind.tensors[i].offset, tensor);
      EXPECT_EQ(tensor, values) << kind.tensors[i].name << " of unit " << unit;
    }
    std::vector<std::byte> whole(kind.bytes, std::byte{0xee});
    base.read(unit, 0, whole);
    EXPECT_EQ(whole, expected) << "with zeros between the tensors of unit " << unit;
  }
}

inline std::set<std::string> names_in(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

inline void change_byte(const std::string& path, std::uint64_t offset) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset));
  const char old = static_cast<char>(file.get());
  file.seekp(static_cast<std::streamoff>(offset));
  file.put(static_cast<char>(old ^ 0x10));
  ASSERT_TRUE(file.good());
}

inline std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class BaseTest : public ::testing::Test {
 protected:
  test::TemporaryFolder folder_;
  std::string to_ = folder_ / "base";
};

}  // namespace gsnake::base
