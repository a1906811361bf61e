#include "train/run_report.h"

#include "core/bytes.h"
#include "schedule/traffic.h"
#include "torch/dtype.h"

namespace gsnake::train {

RunReport report_of(const Session& session) {
  RunReport report;
  const store::StoreReport& io = session.store->report();
  const schedule::Problem& problem = session.problem;
  report.run_id = session.store->run_id();
  report.io_engine = io.engine.name;
  report.io_reason = io.engine.reason;
  report.direct_io = io.direct;
  report.buffered_reason = io.buffered_reason;
  const io::RegistrationReport registration = session.store->engine().registration();
  report.io_registered = registration.ok;
  if (!registration.ok) report.unregistered_reason = io::describe(registration);
  for (std::size_t path = 0; path < session.store->ssd_paths().size(); ++path) {
    report.ssd_paths.push_back({session.store->ssd_paths()[path], io.bytes_per_path[path]});
  }
  report.compute_dtype = backend::dtype_name(session.shape.compute);
  report.formats = plan::describe_formats(session.numerics);
  report.guard = plan::describe_guard(session.numerics);
  report.compute_threads = at::get_num_threads();
  report.optimizer_threads = static_cast<int>(optimizer_threads(session));
  report.delay = schedule::effective_delay(problem);
  report.order = problem.order == schedule::Order::snake ? "snake" : "ascending";
  report.parameters = session.layout.parameters();
  report.trained_parameters = session.layout.trained_parameters();
  if (session.base) report.base = session.config.adapter.base + " (" + session.base->manifest().format + ", " + core::format_bytes(session.base->bytes()) + ")";
  report.host_bytes = session.memory.host_bytes;
  report.device_bytes = session.memory.device_bytes;
  report.base_bytes = session.base_bytes;
  report.memory = session.memory.items;
  const schedule::Bytes formula = schedule::training_traffic(problem).total();
  report.formula_ssd_read_bytes = formula.ssd_read;
  report.formula_ssd_write_bytes = formula.ssd_write;
  report.in_memory_bytes = plan::in_memory_bytes(problem);
  return report;
}

}  // namespace gsnake::train
