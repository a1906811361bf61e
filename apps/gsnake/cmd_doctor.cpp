#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "doctor/examine.h"
#include "output.h"

namespace gsnake::command {
namespace {

struct Arguments {
  std::vector<std::string> folders;
  bool json = false;
};

// Whatever is found, it was found out.
int run(const Arguments& arguments) {
  const doctor::Findings findings = doctor::examine(arguments.folders.empty() ? std::vector<std::string>{"."} : arguments.folders);
  print(arguments.json ? doctor::to_json(findings).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n" : doctor::to_text(findings));
  return 0;
}

}  // namespace

void add_doctor(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("doctor", "Show what this machine has and lacks for training, with a remedy for each lack");
  command->add_option("--ssd", arguments->folders, "a folder that state would lie in (can be repeated); without one the current folder is looked at")
      ->option_text("DIR ...")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_flag("--json", arguments->json, "print JSON");
  command->callback([arguments, &action] { action.run = [arguments] { return run(*arguments); }; });
}

}  // namespace gsnake::command
