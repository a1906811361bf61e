#include "tokenizer/pieces.h"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <utility>

#include "tokenizer/unicode.h"

namespace gsnake::tokenizer {

namespace {

// GPT-2's (Radford et al., 2019), which ByteLevel means unless it is told not to.
constexpr const char* kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

std::vector<std::string> make_byte_characters() {
  std::vector<std::string> characters;
  char32_t substitute = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    characters.push_back(utf8_of(printable ? byte : substitute++));
  }
  return characters;
}

std::string quoted(const std::string& text) {
  std::string expression;
  for (const char c : text)
    expression += std::string("\\^$.|?*+()[]{}").find(c) != std::string::npos ? std::string{'\\', c} : std::string{c};
  return expression;
}

std::string with_spaces_replaced(const std::string& text, const std::string& replacement) {
  std::string result;
  for (const char character : text) {
    if (character == ' ') {
      result += replacement;
    } else {
      result += character;
    }
  }
  return result;
}

}  // namespace

const std::vector<std::string>& byte_characters() {
  static const std::vector<std::string> characters = make_byte_characters();
  return characters;
}

PieceCutter::PieceCutter(const std::string& path, const Json& json) : path_(path) {
  if (json.contains("normalizer") && !json["normalizer"].is_null()) add_normalizer(json["normalizer"]);
  if (json.contains("pre_tokenizer") && !json["pre_tokenizer"].is_null()) add_pre_tokenizer(json["pre_tokenizer"]);
}

void PieceCutter::add_normalizer(const Json& part) {
  const auto type = text_at(path_, part, "type");
  if (type == "Sequence") {
    for (const auto& inner : at(path_, part, "normalizers")) add_normalizer(inner);
  } else if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
    forms_.push_back(type);
  } else {
    refuse_unknown(path_, "the normalizer " + type);
  }
}

void PieceCutter::add_pre_tokenizer(const Json& part) {
  const auto type = text_at(path_, part, "type");
  if (type == "Sequence") {
    for (const auto& inner : at(path_, part, "pretokenizers")) add_pre_tokenizer(inner);
  } else if (type == "ByteLevel") {
    add_byte_level(part);
  } else if (type == "Split") {
    add_split(part);
  } else if (type == "Digits") {
    add_pattern(flag(part, "individual_digits", false) ? "\\p{N}" : "\\p{N}+");
  } else if (type == "Metaspace") {
    add_metaspace(part);
  } else if (type == "WhitespaceSplit") {
    const auto words = std::make_shared<Pattern>("\\S+");
    stages_.emplace_back([words](const Pieces& pieces, std::size_t& beginning) {
      Pieces kept;
      for (const auto& piece : pieces) {
        for (auto& word : words->matches(piece)) kept.push_back(std::move(word));
      }
      if (!kept.empty()) beginning -= std::min(beginning, pieces.front().find(kept.front()));
      return kept;
    });
  } else {
    refuse_unknown(path_, "the pre-tokenizer " + type);
  }
}

void PieceCutter::add_pattern(const std::string& expression) {
  std::shared_ptr<Pattern> pattern;
  try {
    pattern = std::make_shared<Pattern>(expression);
  } catch (const std::invalid_argument& error) {
    refuse(path_, fmt::format("its pattern {} is not one of ICU's: {}", expression, error.what()));
  }
  stages_.emplace_back([pattern](const Pieces& pieces, std::size_t&) {
    Pieces cut;
    for (const auto& piece : pieces) {
      for (auto& inner : pattern->isolate(piece)) cut.push_back(std::move(inner));
    }
    return cut;
  });
}

void PieceCutter::add_split(const Json& part) {
  const auto behavior = text_at(path_, part, "behavior");
  if (behavior != "Isolated" || flag(part, "invert", false)) refuse_unknown(path_, "the pre-tokenizer Split with behavior " + behavior);
  const auto& pattern = at(path_, part, "pattern");
  if (pattern.is_object() && pattern.contains("Regex")) {
    add_pattern(text_at(path_, pattern, "Regex"));
  } else {
    add_pattern(quoted(text_at(path_, pattern, "String")));
  }
}

void PieceCutter::add_byte_level(const Json& part) {
  if (byte_level_) refuse_unknown(path_, "a second pre-tokenizer ByteLevel");
  byte_level_ = true;
  if (flag(part, "add_prefix_space", true)) {
    stages_.emplace_back([](Pieces pieces, std::size_t&) {
      for (auto& piece : pieces) {
        if (!piece.starts_with(' ')) piece.insert(piece.begin(), ' ');
      }
      return pieces;
    });
  }
  if (flag(part, "use_regex", true)) add_pattern(kGpt2Pattern);
  stages_.emplace_back([](const Pieces& pieces, std::size_t&) {
    Pieces written;
    for (const auto& piece : pieces) {
      auto& characters = written.emplace_back();
      for (const char byte : piece) characters += byte_characters()[static_cast<unsigned char>(byte)];
    }
    return written;
  });
}

void PieceCutter::add_metaspace(const Json& part) {
  const auto replacement = text_at(path_, part, "replacement");
  const auto named = text_or_nothing(part, "prepend_scheme");
  const auto scheme = !named.empty() ? named : flag(part, "add_prefix_space", true) ? "always" : "never";
  const bool splits = flag(part, "split", true);
  stages_.emplace_back([replacement, scheme, splits](Pieces pieces, const std::size_t& beginning) {
    Pieces cut;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      auto& piece = pieces[i];
      piece = with_spaces_replaced(piece, replacement);
      const bool prepends = scheme == "always" || (scheme == "first" && beginning > 0 && i == 0);
      if (prepends && !piece.starts_with(replacement)) piece.insert(0, replacement);
      if (!splits) {
        cut.push_back(piece);
        continue;
      }
      // Each replacement begins a piece.
      for (std::size_t begin = 0; begin < piece.size();) {
        const auto next = std::min(piece.find(replacement, begin + 1), piece.size());
        cut.push_back(piece.substr(begin, next - begin));
        begin = next;
      }
    }
    return cut;
  });
}

std::string PieceCutter::normalize(const std::string& text) const {
  try {
    std::string normal = text;
    for (const auto& form : forms_) normal = normalized(normal, form);
    return normal;
  } catch (const std::runtime_error& error) {
    refuse(path_, fmt::format("the text has no normal form: {}", error.what()));
  }
}

std::vector<std::string> PieceCutter::cut(const std::string& normal, std::size_t beginning) const {
  try {
    Pieces pieces{normal};
    for (const auto& stage : stages_) pieces = stage(pieces, beginning);
    return pieces;
  } catch (const std::runtime_error& error) {
    refuse(path_, fmt::format("the text cannot be cut into pieces: {}", error.what()));
  }
}

}  // namespace gsnake::tokenizer
