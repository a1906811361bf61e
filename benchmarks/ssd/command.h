// `gsnake bench ssd`, and the program bench_ssd, which needs no LibTorch.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "ssd/contest.h"

namespace gsnake::bench {

struct SsdOptions {
  std::vector<std::string> directories;
  std::vector<std::string> ops{"read", "write", "mix"};
  std::vector<std::string> engines{"io_uring", "threads"};
  std::vector<std::string> blocks{"4 MiB"};
  std::vector<unsigned> depths{16};
  std::vector<unsigned> threads{io::EngineOptions{}.threads};
  std::string split;   // of the thread engine's transfers; empty: its own
  std::string stripe;  // empty: blocks go whole
  std::string size = "1 GiB";
  unsigned files = 1;  // in each directory
  unsigned repeats = 5;
  bool options = false;   // io_uring's set-ups beside each other
  bool buffered = false;  // through the page cache
  bool json = false;
  std::string save;  // a file for the JSON, beside what is printed
};

// Declares the arguments; `options` outlives `app`'s parsing.
void add_ssd_options(CLI::App& app, SsdOptions& options);

// Measures and returns the report, as text or JSON. Where several blocks, depths or numbers of threads are given, each engine's and fio's
// best is found first, in one sweep, and the best run in turns. Progress goes to stderr. Throws Error.
[[nodiscard]] std::string run_ssd(const SsdOptions& options, const std::string& command_line);

}  // namespace gsnake::bench
