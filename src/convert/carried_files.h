// Files of a Hugging Face folder that a run keeps beside its state, for the export: config.json, the tokenizer, settings of generation.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "hf/json.h"
#include "store/store.h"

namespace gsnake::convert {

// RUN_DIR/hf-carried; a name of the run's, as its files are (StoreOptions::names_in_run_dir).
inline constexpr const char* kCarriedName = "hf-carried";
std::string carried_folder(const std::string& run_dir);
// Copies them into a run that was just created, which they then belong to: they go with it if it never commits. Those of the run that was
// there before, if any, go first. An empty `from` copies nothing. Where run_dir is none of the store's folders, it is claimed for the run.
void carry_files(const std::string& from, store::Store& store, const std::string& run_dir);
// Of a folder, by name and content; none of "".
std::vector<std::pair<std::string, std::string>> files_to_carry(const std::string& from);
// The config.json of a folder, or null.
hf::Json config_of_folder(const std::string& from);
// Paths of what a run carries; empty where it was not imported.
std::vector<std::string> carried_files(const std::string& run_dir);

}  // namespace gsnake::convert
