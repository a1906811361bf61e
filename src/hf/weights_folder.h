// A folder of safetensors files as one set of named tensors.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hf/mapped_file.h"
#include "hf/safetensors.h"

namespace gsnake::hf {

inline constexpr const char* kSingleName = "model.safetensors";
inline constexpr const char* kIndexName = "model.safetensors.index.json";

// Which file holds which tensor, as the index says: names of files in its own folder. Throws Error(input) that names `path` and the tensor.
std::map<std::string, std::string> parse_index(const std::string& path, std::string_view text);

struct TensorSource {
  const MappedFile* file = nullptr;
  Tensor tensor;
};

inline constexpr const char* kAdapterName = "adapter_model.safetensors";

class WeightsFolder {
 public:
  // A PEFT folder's: adapter_model.safetensors.
  static WeightsFolder of_adapter(const std::string& folder);
  // Opens model.safetensors, or the index's files where there is none, and checks them all. What else holds weights there is named in one
  // line of the log. Throws Error(input): a file or a tensor that is missing, named twice or not in the index; an adapter.
  explicit WeightsFolder(const std::string& folder);

  [[nodiscard]] const std::string& folder() const noexcept { return folder_; }
  [[nodiscard]] const TensorSource* find(const std::string& name) const;  // nullptr: there is none
  [[nodiscard]] const std::map<std::string, TensorSource>& tensors() const noexcept { return tensors_; }

 private:
  WeightsFolder(const std::string& folder, const char* only_file);
  void add_file(const std::string& name);
  void add_indexed();
  void tell_what_is_not_read() const;

  std::string folder_;
  std::deque<MappedFile> files_;  // a deque: the tensors point at them
  std::map<std::string, TensorSource> tensors_;
};

}  // namespace gsnake::hf
