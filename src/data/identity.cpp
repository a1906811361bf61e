#include "data/identity.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace gsnake::data {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kPieceBytes = 1 << 20;
constexpr std::int64_t kMostPieces = 64;      // of a file
constexpr std::int64_t kPiecesOfAll = 256;    // of all files, but for one of each

std::int64_t pieces_of_each(std::size_t files) { return std::clamp<std::int64_t>(kPiecesOfAll / static_cast<std::int64_t>(files), 1, kMostPieces); }

// Piece i of `count`, at equal distances, the first and the last at the file's ends; one of one in its middle.
std::int64_t piece_offset(std::int64_t bytes, std::int64_t i, std::int64_t count) {
  if (bytes <= count * kPieceBytes) return i * kPieceBytes;
  const std::int64_t room = bytes - kPieceBytes;
  return count == 1 ? room / 2 : room / (count - 1) * i + room % (count - 1) * i / (count - 1);
}

std::string hash_of(const InputFile& file, std::int64_t most_pieces) {
  const std::int64_t pieces = std::min(most_pieces, (file.size() + kPieceBytes - 1) / kPieceBytes);
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), &XXH3_freeState);
  XXH3_64bits_reset(state.get());
  std::vector<std::uint8_t> bytes;
  for (std::int64_t i = 0; i < pieces; ++i) {
    const std::int64_t offset = piece_offset(file.size(), i, pieces);
    bytes.resize(static_cast<std::size_t>(std::min(kPieceBytes, file.size() - offset)));
    file.read(offset, bytes);
    XXH3_64bits_update(state.get(), bytes.data(), bytes.size());
  }
  return fmt::format("{:016x}", static_cast<std::uint64_t>(XXH3_64bits_digest(state.get())));
}

Json identity_of(const TokenFile& file, std::int64_t most_pieces) {
  Json inputs = Json::array();
  for (const InputFile* input : file.inputs()) inputs.push_back({{"bytes", input->size()}, {"xxh3", hash_of(*input, most_pieces)}});
  return {{"path", file.path()}, {"tokens", file.tokens()}, {"inputs", std::move(inputs)}};
}

bool is_identity(const Json& json) {
  const auto is_file = [](const Json& file) {
    return file.is_object() && file.contains("tokens") && file.contains("inputs") && file.contains("path") && file["path"].is_string();
  };
  return json.is_object() && json.contains("files") && json["files"].is_array() && std::all_of(json["files"].begin(), json["files"].end(), is_file);
}

}  // namespace

Json identity_of(const BatchStream& stream) {
  Json rows = Json::array();
  Json files = Json::array();
  std::size_t count = 0;
  for (std::size_t part = 0; part < stream.parts(); ++part) count += stream.part(part).windows.tokens().files();
  const std::int64_t most_pieces = pieces_of_each(count);
  for (std::size_t part = 0; part < stream.parts(); ++part) {
    rows.push_back(stream.part(part).count);
    const TokenSource& tokens = stream.part(part).windows.tokens();
    for (std::size_t file = 0; file < tokens.files(); ++file) files.push_back(identity_of(tokens.file(file), most_pieces));
  }
  return {{"rows", std::move(rows)}, {"files", std::move(files)}};
}

std::string difference(const Json& before, const Json& now) {
  for (const Json* one : {&before, &now}) {
    if (!is_identity(*one)) return before == now ? "" : "it is described in other words than it was";
  }
  const Json& old_files = before.at("files");
  const Json& files = now.at("files");
  if (old_files.size() != files.size()) return fmt::format("it has {} files where it had {}", files.size(), old_files.size());
  for (std::size_t i = 0; i < files.size(); ++i) {
    const Json& old_file = old_files[i];
    const Json& file = files[i];
    if (file.at("tokens") == old_file.at("tokens") && file.at("inputs") == old_file.at("inputs")) continue;
    const auto name = file.at("path").get<std::string>();
    const auto old_name = old_file.at("path").get<std::string>();
    return fmt::format("{} ({} tokens) has other content than {} had ({} tokens)", name, file.at("tokens").dump(), name == old_name ? "it" : old_name,
                       old_file.at("tokens").dump());
  }
  return "";  // rows follow from these and from keys that are compared themselves
}

}  // namespace gsnake::data
