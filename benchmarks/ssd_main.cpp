// The drive's rates through our I/O engines, beside fio's; `gsnake bench ssd` without LibTorch.
//   bench_ssd DIR... [--block 1MiB,4MiB] [--depth 16,32] [--op read,write,mix] [--options] [--json]
#include <cstdio>

#include "greedysnake/error.h"
#include "ssd/command.h"

int main(int argc, char** argv) {
  CLI::App app("Measures drives through greedysnake's I/O engines.", "bench_ssd");
  gsnake::bench::SsdOptions options;
  gsnake::bench::add_ssd_options(app, options);
  CLI11_PARSE(app, argc, argv);
  std::string command = "bench_ssd";
  for (int i = 1; i < argc; ++i) command += std::string(" ") + argv[i];
  try {
    std::fputs(gsnake::bench::run_ssd(options, command).c_str(), stdout);
    return 0;
  } catch (const gsnake::Error& error) {
    std::fprintf(stderr, "bench_ssd: %s\n", error.what());
    return error.exit_status();
  }
}
