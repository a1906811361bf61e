#include "data/array_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

#include "core/log.h"
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
constexpr std::array kTextMagics{
    Magic{"\xff\xfe", "text in UTF-16; save it as UTF-8"},
    Magic{"\xfe\xff", "text in UTF-16; save it as UTF-8"},
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

// Ids that are wider than they were taken for have a high half that is 0.
void warn_of_wider_ids(const InputFile& file) {
  constexpr std::int64_t kLooked = 1 << 16;
  constexpr std::int64_t kTellsSomething = 64;
  std::vector<std::uint8_t> raw(static_cast<std::size_t>(std::min(kLooked, file.size()) / 4 * 4));
  file.read(0, raw);
  std::size_t high = 0;  // ids at odd places that are 0
  std::size_t low = 0;   // at even ones
  const std::size_t pairs = raw.size() / 4;
  for (std::size_t i = 0; i < pairs; ++i) {
    low += raw[4 * i] == 0 && raw[4 * i + 1] == 0 ? 1 : 0;
    high += raw[4 * i + 2] == 0 && raw[4 * i + 3] == 0 ? 1 : 0;
  }
  if (pairs < kTellsSomething || high < pairs || low == pairs) return;
  spdlog::warn("{} is read as uint16, and every second id in it is 0: if its ids are wider, say so: {{ path = \"{}\", dtype = \"uint32\" }}", file.path(), file.path());
}

// Nothing in the file says what its ids are.
ArrayLayout bare_layout(const InputFile& file, TokenDtype dtype, std::int64_t vocab) {
  constexpr std::int64_t kMost16 = 1 << 16;
  if (dtype == TokenDtype::automatic && vocab > kMost16) {
    refuse(file.path(), fmt::format("nothing in it says how wide its ids are, and 16 bits can't hold those of model.vocab = {}; say it: {{ path = \"{}\", dtype = "
                                    "\"uint32\" }} (or \"uint16\", if no id above 65535 is in it)",
                                    vocab, file.path()));
  }
  if (dtype == TokenDtype::automatic) warn_of_wider_ids(file);
  const std::string type = word_of(dtype == TokenDtype::automatic ? TokenDtype::uint16 : dtype);
  const std::int64_t bits = std::stoll(type.substr(type.find_first_of("0123456789")));
  ArrayLayout layout{(dtype == TokenDtype::automatic ? "nanoGPT, " : "ids alone, ") + type, 0, bits / 8, type.starts_with("int")};
  if (file.size() % layout.token_bytes != 0) {
    refuse(file.path(), fmt::format("offset {}: {} B is no whole number of {} tokens; is it cut short?", file.size() - 1, file.size(), type));
  }
  return layout;
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
  refuse_magic(file, kTextMagics);
  const std::int64_t mark = byte_order_mark(file);
  if (mark > 0) spdlog::info("{} begins with a byte-order mark, which is left out", path);
  std::unique_ptr<ArrayFile> text(new ArrayFile(std::move(file), {"text, a token a byte", mark, 1, false}, std::nullopt, vocab));
  text->is_text_ = true;
  return text;
}

std::unique_ptr<ArrayFile> ArrayFile::open_bin(const std::string& path, std::int64_t vocab, Access access, TokenDtype dtype, TokenDtype bare) {
  InputFile file(path, access);
  std::optional<MegatronIndex> index;
  std::optional<ArrayLayout> told;
  if (const auto index_path = path.ends_with(".bin") ? megatron_index_of(path) : std::nullopt) {
    index.emplace(*index_path, path, file.size());
    told = ArrayLayout{"Megatron, " + index->type(), 0, index->token_bytes(), index->is_signed()};
  } else {
    refuse_magic(file, kMagics);
    told = llmc_layout(file);
  }
  if (told && dtype != TokenDtype::automatic && !told->format.ends_with(", " + std::string(word_of(dtype)))) {
    refuse(path, fmt::format("it says itself what its ids are ({}), and not {}; leave dtype out", told->format, word_of(dtype)));
  }
  ArrayLayout layout = told ? *std::move(told) : bare_layout(file, dtype == TokenDtype::automatic ? bare : dtype, vocab);
  return std::unique_ptr<ArrayFile>(new ArrayFile(std::move(file), std::move(layout), std::move(index), vocab));
}

void ArrayFile::set_mask(const std::string& path, Access access) { mask_ = std::make_unique<MaskFile>(path, *this, access); }

std::vector<const InputFile*> ArrayFile::inputs() const {
  std::vector<const InputFile*> files{&file_};
  if (index_) files.push_back(&index_->file());
  if (mask_) files.push_back(&mask_->file());
  return files;
}

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
