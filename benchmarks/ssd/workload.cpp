#include "ssd/workload.h"

#include <chrono>
#include <memory>

#include "io/cufile.h"
#include "measure/block_stream.h"

namespace gsnake::bench {
namespace {

constexpr double kGib = 1024.0 * 1024.0 * 1024.0;

std::unique_ptr<io::IoEngine> make_engine(const std::string& name, const io::EngineOptions& options) {
  if (name == "threads") return io::make_thread_engine(options);
  if (name == "cufile") return io::make_cufile_engine(options);
  return io::make_uring_engine(options);
}

double read_share_of(Mode mode, const Setting& setting) { return mode == Mode::mix ? setting.read_share : mode == Mode::read ? 1.0 : 0.0; }

}  // namespace

std::string_view name_of(Mode mode) noexcept { return mode == Mode::read ? "read" : mode == Mode::write ? "write" : "mix"; }

Sample measure(const std::string& engine, Mode mode, const Setting& setting, const TestFiles& files, io::AlignedBuffer& memory) {
  io::EngineOptions options = setting.engine;
  options.depth = setting.depth * static_cast<unsigned>(setting.stripe_bytes == 0 ? 1 : setting.block_bytes / setting.stripe_bytes);
  const auto made = make_engine(engine, options);
  for (const io::File& file : files.files()) made->add_file(file);
  made->register_buffer(memory.span().first(setting.depth * setting.block_bytes));
  files.drop_cache();
  measure::BlockStream stream(*made, files, memory.data(),
                              {.block_bytes = setting.block_bytes,
                               .depth = setting.depth,
                               .stripe_bytes = setting.stripe_bytes,
                               .read_share = read_share_of(mode, setting),
                               .blocks = files.total_bytes() / setting.block_bytes});
  const double cpu = measure::process_seconds();
  const auto start = std::chrono::steady_clock::now();
  stream.run();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const auto bytes = static_cast<double>(stream.moved() * setting.block_bytes);
  return {bytes / seconds.count(), (measure::process_seconds() - cpu) / (bytes / kGib),
          static_cast<double>(stream.reads()) / static_cast<double>(stream.moved())};
}

}  // namespace gsnake::bench
