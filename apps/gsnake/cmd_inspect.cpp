#include <fmt/format.h>

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/manifest.h"
#include "checkpoint/rank_folders.h"
#include "commands.h"
#include "core/errors.h"
#include "inspected_base.h"
#include "inspected_run.h"
#include "output.h"
#include "ssd_option.h"
#include "verify_progress.h"

namespace gsnake::command {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::string directory;
  std::vector<std::string> ssd_paths;
  bool json = false;
  bool verify = false;
};

// Also while the run is trained: as long as this reads, the trainer commits no other step.
Json verify(const Arguments& arguments, checkpoint::RunPlace place) {
  store::StoreOptions options;
  options.run_dir = place.run_dir;
  options.ssd_paths = place.ssd_paths;
  const std::unique_ptr<store::Store> store = checkpoint::open_reader(options);
  VerifyProgress progress;
  store->verify(std::ref(progress));
  const double seconds = progress.seconds();
  if (place.shares.size() == 1) {
    place.shares[0].ssd_paths = store->ssd_paths();
    place.shares[0].manifest = *store->manifest();
  } else {
    place = checkpoint::locate_run(arguments.directory, arguments.ssd_paths);  // what is being read
  }
  Json description = describe_run(place);
  description["verified"] = true;
  description["verified_bytes"] = progress.bytes();
  description["verify_seconds"] = seconds;
  return description;
}

int inspect_base(const Arguments& arguments) {
  if (!arguments.ssd_paths.empty()) throw Error(ErrorKind::usage, "--ssd: " + arguments.directory + " is a base, which has no SSD paths; leave the option out");
  const Json description = describe_base(arguments.directory, arguments.verify);
  print(arguments.json ? description.dump(2) + "\n" : base_text(description));
  return 0;
}

int run(const Arguments& arguments) {
  if (base::is_base(arguments.directory)) return inspect_base(arguments);
  const checkpoint::RunPlace place = checkpoint::locate_run(arguments.directory, arguments.ssd_paths);
  try {
    const Json description = arguments.verify ? verify(arguments, place) : describe_run(place);
    print(arguments.json ? description.dump(2) + "\n" : run_text(description));
  } catch (const nlohmann::json::exception& error) {
    core::throw_storage("inspect", arguments.directory, fmt::format("its manifest lacks what a training run's has: {}", error.what()),
                        "use the version of greedysnake that wrote it");
  }
  return 0;
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("inspect", "Show what a run directory holds (step, sizes, slots, files), or a base that gsnake quantize made");
  command->add_option("DIR", arguments->directory, "run directory, one of its SSD paths, or a base")->required();
  add_ssd_paths(*command, arguments->ssd_paths);
  command->add_flag("--verify", arguments->verify, "read all state, or all of a base, and check it against its checksums (a run that is being trained commits nothing meanwhile)");
  command->add_flag("--json", arguments->json, "print JSON");
  command->callback([arguments, &action] { action.run = [arguments] { return run(*arguments); }; });
}

}  // namespace gsnake::command
