#include <cstdint>
#include <cstdlib>

#include "hf/safetensors.h"
#include "refusal_only.h"

// Whatever is accepted lies in the file and tiles its data.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return gsnake::fuzz::refusal_only([&] {
    const std::vector<gsnake::hf::Tensor> tensors =
        gsnake::hf::parse_safetensors("fuzz.safetensors", {reinterpret_cast<const std::byte*>(data), size});
    std::uint64_t end = tensors.empty() ? size : tensors.front().offset;
    for (const gsnake::hf::Tensor& tensor : tensors) {
      if (tensor.offset != end || tensor.bytes > size - tensor.offset) std::abort();
      end = tensor.offset + tensor.bytes;
    }
    if (end != size) std::abort();
  });
}
