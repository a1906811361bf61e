// encode_texts TOKENIZER.json: a JSON list of texts on stdin, a JSON list of their ids on stdout; null for a text that is refused.
#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "greedysnake/error.h"
#include "tokenizer/tokenizer.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    const auto tokenizer = gsnake::tokenizer::load(argv[1]);
    nlohmann::json result = nlohmann::json::array();
    for (const auto& text : nlohmann::json::parse(std::cin)) {
      try {
        result.push_back(tokenizer->encode(text.get<std::string>()));
      } catch (const gsnake::Error& error) {
        std::cerr << error.what() << "\n";
        result.push_back(nullptr);
      }
    }
    std::cout << result.dump() << "\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
