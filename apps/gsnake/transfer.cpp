#include "transfer.h"

#include <cstdint>

#include "core/log.h"
#include "output.h"
#include "run/metrics.h"
#include "run/phase_watch.h"
#include "run/signals.h"
#include "run/transfer_progress.h"

namespace gsnake::command {

nlohmann::ordered_json to_json(const TransferReport& report) {
  return {{"step", report.step},   {"parameters", report.parameters}, {"bytes", report.bytes},
          {"files", report.files}, {"dtype", word_of(report.dtype)},  {"seconds", run::nine_digits(report.seconds)}};
}

int transfer(const std::string& what, const std::function<std::string(const TransferProgress&)>& work) {
  return transfer(run::StopSignals(), what, work);
}

int transfer(const run::StopSignals& signals, const std::string& what, const std::function<std::string(const TransferProgress&)>& work) {
  try {
    std::string result;
    {
      run::TransferProgress progress;
      result = work([&](std::uint64_t done, std::uint64_t total) {
        if (const int signal = signals.requested(); signal != 0) throw run::Stopped(signal);
        progress.tell(what, done, total);
      });
    }
    print(result);
    return 0;
  } catch (const run::Stopped&) {
    spdlog::info("{} was stopped by a signal; nothing is left of it", what);
    return run::exit_status_of(signals.requested());
  }
}

}  // namespace gsnake::command
