#include "transfer.h"

#include <cstdint>

#include "core/log.h"
#include "output.h"
#include "train/metrics.h"
#include "train/phase_watch.h"
#include "train/signals.h"
#include "train/transfer_progress.h"

namespace gsnake::command {

nlohmann::ordered_json to_json(const TransferReport& report) {
  return {{"step", report.step},   {"parameters", report.parameters}, {"bytes", report.bytes},
          {"files", report.files}, {"dtype", report.dtype},           {"seconds", train::nine_digits(report.seconds)}};
}

int transfer(const std::string& what, const std::function<std::string(const TransferProgress&)>& work) {
  const train::StopSignals signals;
  try {
    std::string result;
    {
      train::TransferProgress progress;
      result = work([&](std::uint64_t done, std::uint64_t total) {
        if (signals.requested() != 0) throw train::Stopped();
        progress.tell(what, done, total);
      });
    }
    print(result);
    return 0;
  } catch (const train::Stopped&) {
    spdlog::info("{} was stopped by a signal; nothing is left of it", what);
    return train::exit_status_of(signals.requested());
  }
}

}  // namespace gsnake::command
