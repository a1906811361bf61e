#include "data/array_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

#include "data/mask_file.h"

namespace gsnake::data {

namespace {

constexpr std::int64_t kLlmcHeaderBytes = 1024;
constexpr std::size_t kReadBytes = 8192;  // a multiple of every width

struct LlmcKind {
  std::uint32_t magic;
  std::uint32_t version;
  std::int64_t token_bytes;
};
constexpr std::array<LlmcKind, 2> kLlmcKinds{{{20240520, 1, 2}, {20240801, 7, 4}}};

struct Magic {
  std::string_view bytes;
  const char* what;
};

// What is often named by mistake, by its first bytes. Little-endian, as llm.c's numbers are.
constexpr std::array kMagics{
    Magic{"MMIDIDX", "Megatron's index; name the .bin beside it"},
    Magic{"\x93NUMPY", "a NumPy array; write its tokens alone, as array.astype('uint16').tofile(...) does"},
    Magic{"\x28\xb5\x2f\xfd", "compressed by zstd; unpack it"},
    Magic{"\x1f\x8b", "compressed by gzip; unpack it"},
    Magic{"PAR1", "a Parquet file; write its text or its tokens to a file of their own"},
    Magic{"PK\x03\x04", "a zip archive; unpack it"},
};
constexpr std::array kTokenMagics{
    Magic{"\x88\xd8\x34\x01", "llm.c's tokens; give it a name that ends in .bin"},
    Magic{"\xa1\xd9\x34\x01", "llm.c's tokens; give it a name that ends in .bin"},
};

template <std::size_t count>
void refuse_magic(const InputFile& file, const std::array<Magic, count>& magics) {
  std::array<std::uint8_t, 8> head{};
  const auto size = std::min<std::size_t>(head.size(), static_cast<std::size_t>(file.size()));
  file.read(0, std::span(head).first(size));
  const std::string_view begin(reinterpret_cast<const char*>(head.data()), size);
  for (const auto& magic : magics) {
    if (begin.starts_with(magic.bytes)) refuse(file.path(), fmt::format("by its first bytes it is {}", magic.what));
  }
}

}  // namespace

std::optional<ArrayLayout> llmc_layout(const InputFile& file) {
  std::array<std::uint8_t, 12> head{};
  if (file.size() < static_cast<std::int64_t>(head.size())) return std::nullopt;
  file.read(0, head);
  const auto word = [&](std::size_t index) { return little_endian(std::span(head).subspan(4 * index, 4), false); };
  const auto kind = std::find_if(kLlmcKinds.begin(), kLlmcKinds.end(), [&](const auto& known) { return known.magic == word(0); });
  if (kind == kLlmcKinds.end()) return std::nullopt;
  if (word(1) != kind->version) {
    refuse(file.path(), fmt::format("offset 4: llm.c's header says version {}; behind magic {} version {} is known", word(1), kind->magic,
                                    kind->version));
  }
  const auto expected = kLlmcHeaderBytes + kind->token_bytes * word(2);
  if (file.size() != expected) {
    refuse(file.path(), fmt::format("offset 8: llm.c's header counts {} tokens, which is {} B in all, but it has {} B; is it cut short?",
                                    word(2), expected, file.size()));
  }
  return ArrayLayout{fmt::format("llm.c, uint{}", 8 * kind->token_bytes), kLlmcHeaderBytes, kind->token_bytes, false};
}

std::optional<std::string> megatron_index_of(const std::string& bin) {
  std::error_code ignored;  // an index that cannot be seen is as good as none
  const auto index = std::filesystem::path(bin).replace_extension(".idx");
  return std::filesystem::exists(index, ignored) ? std::optional(index.string()) : std::nullopt;
}

ArrayFile::ArrayFile(InputFile file, ArrayLayout layout, std::optional<MegatronIndex> index, std::int64_t vocab)
    : file_(std::move(file)), layout_(std::move(layout)), index_(std::move(index)), vocab_(vocab) {
  tokens_ = (file_.size() - layout_.data_offset) / layout_.token_bytes;
  if (tokens_ == 0) refuse(file_.path(), "it is empty; take it off the list");
}

ArrayFile::~ArrayFile() = default;

std::unique_ptr<ArrayFile> ArrayFile::open_text(const std::string& path, std::int64_t vocab, Access access) {
  InputFile file(path, access);
  refuse_magic(file, kMagics);
  refuse_magic(file, kTokenMagics);
  std::unique_ptr<ArrayFile> text(new ArrayFile(std::move(file), {"text, a token a byte", 0, 1, false}, std::nullopt, vocab));
  text->is_text_ = true;
  return text;
}

std::unique_ptr<ArrayFile> ArrayFile::open_bin(const std::string& path, std::int64_t vocab, Access access) {
  InputFile file(path, access);
  std::optional<MegatronIndex> index;
  ArrayLayout layout{"nanoGPT, uint16", 0, 2, false};
  if (const auto index_path = megatron_index_of(path)) {
    index.emplace(*index_path, path, file.size());
    layout = {"Megatron, " + index->type(), 0, index->token_bytes(), index->is_signed()};
  } else {
    refuse_magic(file, kMagics);
    if (auto llmc = llmc_layout(file)) layout = std::move(*llmc);
    if (file.size() % layout.token_bytes != 0) {
      refuse(path, fmt::format("offset {}: {} B is no whole number of uint16 tokens; is it cut short?", file.size() - 1, file.size()));
    }
  }
  return std::unique_ptr<ArrayFile>(new ArrayFile(std::move(file), std::move(layout), std::move(index), vocab));
}

void ArrayFile::set_mask(const std::string& path, Access access) { mask_ = std::make_unique<MaskFile>(path, *this, access); }

void ArrayFile::read_documents(std::int64_t first, std::span<Document> out) const {
  if (index_) {
    index_->read_documents(first, out);
  } else if (!out.empty()) {
    out[0] = {0, tokens_};
  }
}

void ArrayFile::read(std::int64_t first, std::span<std::int64_t> ids, std::span<std::uint8_t> counted) const {
  if (mask_ && !counted.empty()) {
    mask_->read(first, counted);
  } else {
    std::fill(counted.begin(), counted.end(), std::uint8_t{1});
  }
  std::array<std::uint8_t, kReadBytes> raw;
  const auto width = static_cast<std::size_t>(layout_.token_bytes);
  while (!ids.empty()) {
    const auto part = ids.first(std::min(ids.size(), raw.size() / width));
    const std::span bytes(raw.data(), part.size() * width);
    file_.read(layout_.data_offset + first * layout_.token_bytes, bytes);
    for (std::size_t i = 0; i < part.size(); ++i) part[i] = little_endian(bytes.subspan(i * width, width), layout_.is_signed);
    check(first, part);
    first += static_cast<std::int64_t>(part.size());
    ids = ids.subspan(part.size());
  }
}

void ArrayFile::check(std::int64_t first, std::span<const std::int64_t> ids) const {
  const auto bad = std::find_if(ids.begin(), ids.end(), [this](std::int64_t id) { return id < 0 || id >= vocab_; });
  if (bad == ids.end()) return;
  const auto offset = layout_.data_offset + (first + (bad - ids.begin())) * layout_.token_bytes;
  refuse(file_.path(),
         fmt::format("token id {} at offset {} is not {} model.vocab = {}; raise model.vocab or use the data's own tokenizer ({})", *bad,
                     offset, *bad < 0 ? "in 0 .. below" : "below", vocab_, layout_.format));
}

}  // namespace gsnake::data
