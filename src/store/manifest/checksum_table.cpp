#include "store/manifest/checksum_table.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <tuple>

#include "core/errors.h"
#include "store/layout/layout.h"

namespace gsnake::store {
namespace {

constexpr std::array<char, 8> kMagic{'G', 'S', 'N', 'K', 'S', 'U', 'M', '1'};
constexpr std::size_t kHeaderBytes = 16;
constexpr std::size_t kEntryBytes = 32;
constexpr const char* kRemedy = "restore it from a copy in another SSD path or in the run directory, or go back to a snapshot";

// Little-endian, whatever the machine.
template <typename Value>
void put(std::byte*& out, Value value) {
  for (std::size_t i = 0; i < sizeof(Value); ++i) *out++ = static_cast<std::byte>(value >> (8 * i) & 0xFF);
}

template <typename Value>
Value take(const std::byte*& in) {
  Value value = 0;
  for (std::size_t i = 0; i < sizeof(Value); ++i) value |= static_cast<Value>(static_cast<Value>(*in++) << (8 * i));
  return value;
}

std::optional<TableReference> parse_reference(const nlohmann::json& json) {
  if (!json.is_object()) return std::nullopt;
  const nlohmann::json file = json.value("file", nlohmann::json());
  const nlohmann::json entries = json.value("entries", nlohmann::json());
  const nlohmann::json hash = json.value("xxh3_64", nlohmann::json());
  if (!file.is_string() || !entries.is_number_unsigned() || !hash.is_string()) return std::nullopt;
  TableReference reference{file.get<std::string>(), entries.get<std::uint64_t>(), 0};
  const std::string digits = hash.get<std::string>();
  const char* end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, reference.xxh3, 16);
  if (parsed.ec != std::errc() || parsed.ptr != end || reference.file.find('/') != std::string::npos) return std::nullopt;
  return reference;
}

}  // namespace

std::uint64_t checksum_of(std::span<const std::byte> bytes) noexcept { return XXH3_64bits(bytes.data(), bytes.size()); }

std::string other_table(const std::string& name) { return name == kTableNames[0] ? kTableNames[1] : kTableNames[0]; }

nlohmann::json to_json(const TableReference& reference) {
  return {{"file", reference.file}, {"entries", reference.entries}, {"xxh3_64", fmt::format("{:016x}", reference.xxh3)}};
}

std::optional<TableReference> table_of(const Manifest& manifest) {
  const nlohmann::json json = manifest.storage.is_object() ? manifest.storage.value("checksums", nlohmann::json()) : nlohmann::json();
  if (json.is_null()) return std::nullopt;
  std::optional<TableReference> reference = parse_reference(json);
  if (!reference) {
    core::throw_storage("use", "the manifest of run " + manifest.run_id, "its entry for checksums is malformed",
                        "use the version of greedysnake that wrote it");
  }
  return reference;
}

std::vector<std::byte> encode_table(std::span<const Checksum> checksums) {
  std::vector<std::byte> table(kHeaderBytes + checksums.size() * kEntryBytes);
  std::memcpy(table.data(), kMagic.data(), kMagic.size());
  std::byte* out = table.data() + kMagic.size();
  put(out, std::uint64_t{checksums.size()});
  for (const Checksum& checksum : checksums) {
    put(out, static_cast<std::uint32_t>(checksum.extent.kind));
    put(out, checksum.extent.object);
    put(out, checksum.extent.offset);
    put(out, checksum.extent.bytes);
    put(out, checksum.xxh3);
  }
  return table;
}

std::vector<Checksum> read_table(const std::string& directory, const TableReference& reference) {
  const std::string path = directory + "/" + reference.file;
  const std::optional<std::string> text = io::read_whole_file(path);
  if (!text) core::throw_storage("read", path, "it is missing, and the manifest beside it is valid only with it", kRemedy);
  const std::span bytes = std::as_bytes(std::span(*text));
  const bool sized = bytes.size() >= kHeaderBytes && (bytes.size() - kHeaderBytes) / kEntryBytes == reference.entries &&
                     (bytes.size() - kHeaderBytes) % kEntryBytes == 0;
  if (!sized || checksum_of(bytes) != reference.xxh3) {
    core::throw_storage("read", path, "it is torn: the manifest beside it has another checksum of it", kRemedy);
  }
  const std::byte* in = bytes.data() + kMagic.size();
  if (std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0 || take<std::uint64_t>(in) != reference.entries) {
    core::throw_storage("read", path, "it is not a table of checksums of this version", "use the version of greedysnake that wrote it");
  }
  std::vector<Checksum> checksums(reference.entries);
  for (Checksum& checksum : checksums) {
    checksum.extent.kind = static_cast<Kind>(std::min<std::uint32_t>(take<std::uint32_t>(in), kKindCount));
    checksum.extent.object = take<std::uint32_t>(in);
    checksum.extent.offset = take<std::uint64_t>(in);
    checksum.extent.bytes = take<std::uint64_t>(in);
    checksum.xxh3 = take<std::uint64_t>(in);
  }
  return checksums;
}

std::string tiling_fault(std::span<const Checksum> checksums, const Layout& layout) {
  std::vector<const Extent*> pieces;
  for (const Checksum& checksum : checksums) pieces.push_back(&checksum.extent);
  const auto place = [](const Extent* e) { return std::tuple(e->kind, e->object, e->offset); };
  const auto before = [&](const Extent* a, const Extent* b) { return place(a) < place(b); };
  if (!std::is_sorted(pieces.begin(), pieces.end(), before)) std::sort(pieces.begin(), pieces.end(), before);
  auto piece = pieces.begin();
  for (std::size_t kind = 0; kind < layout.kinds.size(); ++kind) {
    if (!is_state(kind_at(kind))) continue;
    const std::vector<std::uint64_t>& sizes = layout.kinds[kind].padded_bytes;
    for (std::size_t object = 0; object < sizes.size(); ++object) {
      std::uint64_t covered = 0;
      while (piece != pieces.end() && (*piece)->kind == kind_at(kind) && (*piece)->object == object && (*piece)->offset == covered &&
             (*piece)->bytes > 0 && (*piece)->bytes % kExtentAlignment == 0 && (*piece)->bytes <= sizes[object] - covered) {
        covered += (*piece++)->bytes;
      }
      if (covered != sizes[object])
        return fmt::format("of {} object {} they tile {} B of {} B", name_of(kind_at(kind)), object, covered, sizes[object]);
    }
  }
  return piece == pieces.end() ? "" : "there are pieces that overlap others or lie outside the state";
}

}  // namespace gsnake::store
