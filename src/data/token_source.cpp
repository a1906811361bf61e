#include "data/token_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "greedysnake/error.h"

namespace gsnake::data {

namespace {

// llm.c's header: 256 little-endian int32, of which the first three say what follows.
constexpr std::int64_t kLlmcHeaderBytes = 1024;
constexpr std::uint32_t kLlmcMagic = 20240520;
constexpr std::uint32_t kLlmcWideMagic = 20240801;  // the same header before uint32 tokens
constexpr std::uint32_t kLlmcVersion = 1;

[[noreturn]] void refuse(const std::string& path, const std::string& why, std::error_code code = {}) {
  throw Error(ErrorKind::input, fmt::format("cannot read tokens from {}: {}", path, why), code);
}

[[noreturn]] void refuse_errno(const std::string& path, const std::string& remedy) {
  const std::error_code code(errno, std::system_category());
  refuse(path, fmt::format("{}; {}", code.message(), remedy), code);
}

// Exactly out.size() bytes.
void read_bytes(int fd, const std::string& path, std::int64_t offset, std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const auto got = ::pread(fd, out.data(), out.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse_errno(path, fmt::format("reading {} B at offset {} failed; check the file and its drive", out.size(), offset));
    if (got == 0) refuse(path, fmt::format("it ends at offset {}, sooner than when it was opened; do not change it during a run", offset));
    offset += got;
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

std::uint32_t little_endian_32(const std::uint8_t* bytes) {
  return bytes[0] | std::uint32_t{bytes[1]} << 8 | std::uint32_t{bytes[2]} << 16 | std::uint32_t{bytes[3]} << 24;
}

void refuse_megatron(const std::string& path) {
  std::error_code ignored;  // an index that cannot be seen is as good as none
  const auto index = std::filesystem::path(path).replace_extension(".idx");
  if (std::filesystem::exists(index, ignored)) {
    refuse(path, fmt::format("{} beside it says that it is Megatron's format, which this build cannot read; convert it to uint16 tokens",
                             index.string()));
  }
}

// Bytes before the tokens of a .bin file of `size` bytes: 0 (nanoGPT) or llm.c's header, whose count must agree with the size.
std::int64_t header_bytes(int fd, const std::string& path, std::int64_t size) {
  std::array<std::uint8_t, 12> head{};
  if (size < static_cast<std::int64_t>(head.size())) return 0;
  read_bytes(fd, path, 0, head);
  const auto magic = little_endian_32(head.data());
  if (magic == kLlmcWideMagic) refuse(path, "it holds llm.c's uint32 tokens; this build reads uint16 tokens only");
  if (magic != kLlmcMagic) return 0;
  const auto version = little_endian_32(head.data() + 4);
  const auto tokens = little_endian_32(head.data() + 8);
  if (version != kLlmcVersion)
    refuse(path, fmt::format("llm.c's header says version {}; this build reads version {}", version, kLlmcVersion));
  if (size != kLlmcHeaderBytes + 2 * static_cast<std::int64_t>(tokens)) {
    refuse(path, fmt::format("llm.c's header counts {} tokens, which is {} B in all, but it has {} B; is it cut short?", tokens,
                             kLlmcHeaderBytes + 2 * static_cast<std::int64_t>(tokens), size));
  }
  return kLlmcHeaderBytes;
}

}  // namespace

TokenSource::TokenSource(const std::vector<std::string>& paths, std::int64_t vocab, std::int64_t separator, Access access)
    : vocab_(vocab), separator_(separator) {
  if (paths.empty()) throw Error(ErrorKind::input, "no files of tokens are named; name one in data.train");
  files_.reserve(paths.size());
  for (const auto& path : paths) {
    if (separator_ >= 0 && !files_.empty()) ++size_;
    files_.push_back(open(path, access));
    files_.back().first = size_;
    size_ += files_.back().tokens;
  }
}

TokenSource::File TokenSource::open(const std::string& path, Access access) {
  File file;
  file.path = path;
  // O_NONBLOCK: opening a FIFO must not wait for its writer; regular files do not heed it.
  file.fd = core::UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.fd) refuse_errno(path, "check the path in data.train or data.validation");
  struct stat info {};
  if (::fstat(file.fd.get(), &info) != 0) refuse_errno(path, "check the file and its drive");
  if (!S_ISREG(info.st_mode)) refuse(path, "it is not a regular file; name a file of text or tokens");

  if (std::filesystem::path(path).extension() == ".bin") {
    refuse_megatron(path);
    file.data_offset = header_bytes(file.fd.get(), path, info.st_size);
    file.token_bytes = 2;
    if (info.st_size % 2 != 0) refuse(path, fmt::format("{} B is no whole number of uint16 tokens; is it cut short?", info.st_size));
  }
  file.tokens = (info.st_size - file.data_offset) / file.token_bytes;
  if (file.tokens == 0) refuse(path, "it is empty; take it off the list");
  // Advice only: where it is not taken, reads are right all the same.
  static_cast<void>(::posix_fadvise(file.fd.get(), 0, 0, access == Access::random ? POSIX_FADV_RANDOM : POSIX_FADV_SEQUENTIAL));
  return file;
}

void TokenSource::read(std::int64_t first, std::span<std::int64_t> out) const {
  auto file =
      std::upper_bound(files_.begin(), files_.end(), first, [](std::int64_t position, const File& f) { return position < f.first; });
  --file;  // the last one that starts at or before `first`; the separator behind a file counts as that file's end
  while (!out.empty()) {
    const auto inside = first - file->first;
    if (inside < file->tokens) {
      const auto count = std::min<std::int64_t>(static_cast<std::int64_t>(out.size()), file->tokens - inside);
      read_file(*file, inside, out.first(static_cast<std::size_t>(count)));
      out = out.subspan(static_cast<std::size_t>(count));
      first += count;
    } else {
      if (separator_ >= 0) {
        out.front() = separator_;
        out = out.subspan(1);
        ++first;
      }
      ++file;
    }
  }
}

void TokenSource::read_file(const File& file, std::int64_t first, std::span<std::int64_t> out) const {
  std::array<std::uint8_t, 8192> raw;
  const auto most = raw.size() / static_cast<std::size_t>(file.token_bytes);
  while (!out.empty()) {
    const auto part = out.first(std::min(out.size(), most));
    const std::span bytes(raw.data(), part.size() * static_cast<std::size_t>(file.token_bytes));
    read_bytes(file.fd.get(), file.path, file.data_offset + first * file.token_bytes, bytes);
    for (std::size_t i = 0; i < part.size(); ++i) part[i] = file.token_bytes == 1 ? raw[i] : raw[2 * i] | raw[2 * i + 1] << 8;
    check(file, first, part);
    first += static_cast<std::int64_t>(part.size());
    out = out.subspan(part.size());
  }
}

void TokenSource::check(const File& file, std::int64_t first, std::span<const std::int64_t> tokens) const {
  const auto bad = std::find_if(tokens.begin(), tokens.end(), [this](std::int64_t token) { return token >= vocab_; });
  if (bad == tokens.end()) return;
  const auto offset = file.data_offset + (first + (bad - tokens.begin())) * file.token_bytes;
  refuse(file.path, fmt::format("token id {} at offset {} is not below model.vocab = {}; raise model.vocab or use the data's own tokenizer",
                                *bad, offset, vocab_));
}

std::string TokenSource::describe() const {
  const auto others = files_.size() - 1;
  if (others == 0) return files_.front().path;
  return fmt::format("{} and {} more file{}", files_.front().path, others, others == 1 ? "" : "s");
}

}  // namespace gsnake::data
