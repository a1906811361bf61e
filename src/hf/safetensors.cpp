#include "hf/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <utility>

#include "hf/folder.h"
#include "hf/json.h"
#include "hf/refusal.h"

namespace gsnake::hf {
namespace {

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMostHeaderBytes = 100'000'000;  // as the format's own library
constexpr std::size_t kMostDimensions = 64;

struct NamedSize {
  const char* name;
  std::uint64_t bytes;
};
constexpr std::array kDtypes{NamedSize{"F32", 4},    NamedSize{"F16", 2},  NamedSize{"BF16", 2},    NamedSize{"F64", 8},
                             NamedSize{"I64", 8},    NamedSize{"U64", 8},  NamedSize{"C64", 8},     NamedSize{"I32", 4},
                             NamedSize{"U32", 4},    NamedSize{"I16", 2},  NamedSize{"U16", 2},     NamedSize{"I8", 1},
                             NamedSize{"U8", 1},     NamedSize{"BOOL", 1}, NamedSize{"F8_E4M3", 1}, NamedSize{"F8_E5M2", 1},
                             NamedSize{"F8_E8M0", 1}};

// Reads one entry of the header.
class Entry {
 public:
  Entry(const std::string& path, const std::string& name, const nlohmann::json& json, std::uint64_t data_begin, std::uint64_t data_bytes)
      : path_(path), name_(name), json_(json), data_begin_(data_begin), data_bytes_(data_bytes) {}

  Tensor read() const {
    if (!json_.is_object()) refuse_entry("its entry in the header is no object");
    Tensor tensor;
    tensor.name = name_;
    const std::uint64_t element_bytes = read_dtype(tensor);
    const std::uint64_t elements = read_shape(tensor);
    read_offsets(tensor);
    std::uint64_t expected = 0;
    if (__builtin_mul_overflow(elements, element_bytes, &expected)) {
      refuse_entry(fmt::format("its shape {} overflows 64 bits", shape_text(tensor.shape)));
    }
    if (tensor.bytes != expected) {
      refuse_entry(fmt::format("at offset {}: it has {} bytes, its shape {} of {} needs {}", tensor.offset, tensor.bytes,
                               shape_text(tensor.shape), tensor.dtype, expected));
    }
    return tensor;
  }

 private:
  [[noreturn]] void refuse_entry(const std::string& reason) const { refuse(path_, fmt::format("tensor {}: {}", shown(name_), reason)); }

  const nlohmann::json& field(const char* key) const {
    const auto found = json_.find(key);
    if (found == json_.end()) refuse_entry(fmt::format("its entry in the header lacks {}", key));
    return *found;
  }

  std::uint64_t read_dtype(Tensor& tensor) const {
    const nlohmann::json& dtype = field("dtype");
    if (!dtype.is_string()) refuse_entry("its dtype is no text");
    tensor.dtype = dtype.get<std::string>();
    const auto* known = std::find_if(kDtypes.begin(), kDtypes.end(), [&](const NamedSize& size) { return tensor.dtype == size.name; });
    if (known == kDtypes.end()) refuse_entry(fmt::format("its dtype {} is not known", shown(tensor.dtype)));
    return known->bytes;
  }

  std::uint64_t read_shape(Tensor& tensor) const {
    const nlohmann::json& shape = field("shape");
    if (!shape.is_array() || shape.size() > kMostDimensions) refuse_entry("its shape is no list of at most 64 sizes");
    std::uint64_t elements = 1;
    for (const nlohmann::json& size : shape) {
      if (!size.is_number_unsigned()) refuse_entry("its shape holds something else than sizes");
      tensor.shape.push_back(size.get<std::uint64_t>());
      if (__builtin_mul_overflow(elements, tensor.shape.back(), &elements)) {
        refuse_entry(fmt::format("its shape {} overflows 64 bits", shape_text(tensor.shape)));
      }
    }
    return elements;
  }

  void read_offsets(Tensor& tensor) const {
    const nlohmann::json& offsets = field("data_offsets");
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
      refuse_entry("its data_offsets are no two offsets");
    }
    const auto begin = offsets[0].get<std::uint64_t>();
    const auto end = offsets[1].get<std::uint64_t>();
    if (begin > end) refuse_entry(fmt::format("its data_offsets [{}, {}] are reversed", begin, end));
    if (end > data_bytes_) {
      refuse_entry(fmt::format("its data ends {} bytes behind offset {} of the file, which ends at {}", end, data_begin_,
                               data_begin_ + data_bytes_));
    }
    tensor.offset = data_begin_ + begin;
    tensor.bytes = end - begin;
  }

  const std::string& path_;
  const std::string& name_;
  const nlohmann::json& json_;
  std::uint64_t data_begin_;
  std::uint64_t data_bytes_;
};

std::uint64_t header_bytes(const std::string& path, std::span<const std::byte> file) {
  refuse_other_kind(path, {reinterpret_cast<const char*>(file.data()), file.size()});
  if (file.size() < kLengthBytes) refuse(path, fmt::format("it has {} bytes, a safetensors file has 8 at least", file.size()));
  std::uint64_t length = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;) length = length << 8U | std::to_integer<std::uint64_t>(file[i]);
  if (length > file.size() - kLengthBytes) {
    refuse(path, fmt::format("the header's length at offset 0 is {}, the file has {} bytes: it is truncated, or no safetensors file",
                             length, file.size()));
  }
  if (length > kMostHeaderBytes) refuse(path, fmt::format("the header's length at offset 0 is {}, more than {}", length, kMostHeaderBytes));
  return length;
}

void check_coverage(const std::string& path, const std::vector<Tensor>& tensors, std::uint64_t data_begin, std::uint64_t end) {
  std::uint64_t covered = data_begin;
  const Tensor* before = nullptr;
  for (const Tensor& tensor : tensors) {
    if (tensor.offset < covered) {
      refuse(path, fmt::format("tensor {} at offset {} overlaps tensor {}, which ends at {}", shown(tensor.name), tensor.offset,
                               shown(before->name), covered));
    }
    if (tensor.offset > covered) {
      refuse(path, fmt::format("no tensor holds the bytes at offset {} before tensor {} at offset {}", covered, shown(tensor.name),
                               tensor.offset));
    }
    covered = tensor.offset + tensor.bytes;
    before = &tensor;
  }
  if (covered != end) refuse(path, fmt::format("no tensor holds the bytes from offset {} to its end at {}", covered, end));
}

}  // namespace

std::uint64_t size_of(Dtype dtype) noexcept { return dtype == Dtype::fp32 ? 4 : 2; }

const char* name_of(Dtype dtype) noexcept { return dtype == Dtype::fp32 ? "F32" : dtype == Dtype::fp16 ? "F16" : "BF16"; }

const char* torch_name_of(Dtype dtype) noexcept { return dtype == Dtype::fp32 ? "float32" : dtype == Dtype::fp16 ? "float16" : "bfloat16"; }

std::optional<Dtype> Tensor::known_dtype() const {
  for (const Dtype each : {Dtype::fp32, Dtype::fp16, Dtype::bf16}) {
    if (dtype == name_of(each)) return each;
  }
  return std::nullopt;
}

std::string shape_text(std::span<const std::uint64_t> shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + ")";
}

std::vector<Tensor> parse_safetensors(const std::string& path, std::span<const std::byte> file) {
  const std::uint64_t length = header_bytes(path, file);
  const std::uint64_t data_begin = kLengthBytes + length;
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
  const nlohmann::json header = parse_table(path, text, kLengthBytes);
  std::vector<Tensor> tensors;
  for (const auto& [name, json] : header.items()) {
    if (name != "__metadata__") tensors.push_back(Entry(path, name, json, data_begin, file.size() - data_begin).read());
  }
  // An empty tensor lies where the next one begins.
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const Tensor& a, const Tensor& b) { return std::pair(a.offset, a.bytes) < std::pair(b.offset, b.bytes); });
  check_coverage(path, tensors, data_begin, file.size());
  return tensors;
}

std::string make_safetensors_header(std::vector<Tensor>& tensors) {
  Json header = {{"__metadata__", {{"format", "pt"}}}};
  std::uint64_t data_bytes = 0;
  for (Tensor& tensor : tensors) {
    tensor.bytes = size_of(*tensor.known_dtype());
    for (const std::uint64_t size : tensor.shape) tensor.bytes *= size;
    header[tensor.name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {data_bytes, data_bytes + tensor.bytes}}};
    tensor.offset = data_bytes;
    data_bytes += tensor.bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string bytes(kLengthBytes, '\0');
  for (std::size_t i = 0; i < kLengthBytes; ++i) bytes[i] = static_cast<char>(text.size() >> (8 * i) & 0xFFU);
  bytes += text;
  for (Tensor& tensor : tensors) tensor.offset += bytes.size();
  return bytes;
}

}  // namespace gsnake::hf
