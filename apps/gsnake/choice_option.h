// An option of the command line whose argument is one of a choice's words.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "greedysnake/choices.h"

namespace gsnake::command {

template <typename Choice, typename Target>
CLI::Option* add_choice_to(CLI::App& command, const std::string& name, Target& target, const std::string& description) {
  const std::vector<std::string> words(kWords<Choice>.begin(), kWords<Choice>.end());
  return command.add_option_function<std::string>(name, [&target](const std::string& word) { target = choice_of<Choice>(word).value(); }, description)
      ->check(CLI::IsMember(words));
}

// The target keeps its value where the option is left out; it outlives the parsing.
template <typename Choice>
CLI::Option* add_choice(CLI::App& command, const std::string& name, Choice& target, const std::string& description) {
  return add_choice_to<Choice>(command, name, target, description)->default_str(word_of(target));
}
template <typename Choice>
CLI::Option* add_choice(CLI::App& command, const std::string& name, std::optional<Choice>& target, const std::string& description) {
  return add_choice_to<Choice>(command, name, target, description);
}

}  // namespace gsnake::command
