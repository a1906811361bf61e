#include "ssd/fio.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/errors.h"

namespace gsnake::bench {
namespace {

constexpr double kGib = 1024.0 * 1024.0 * 1024.0;

std::string output_of(const std::string& command) {
  std::string text;
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return text;
  std::array<char, 4096> buffer{};
  for (std::size_t got = 0; (got = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) text.append(buffer.data(), got);
  ::pclose(pipe);
  return text;
}

std::string command_of(Mode mode, const Setting& setting, const TestFiles& files) {
  std::vector<std::string> names;
  for (const io::File& file : files.files()) names.push_back(fmt::format("/proc/{}/fd/{}", ::getpid(), file.fd()));
  const char* pattern = mode == Mode::read ? "--rw=read" : mode == Mode::write ? "--rw=write" : "--rw=rw --rwmixread=57";
  return fmt::format(
      "GLIBC_TUNABLES=glibc.malloc.hugetlb=1 fio --name=x --ioengine=io_uring --mem=malloc --fixedbufs=1 --registerfiles=1 {} "
      "--filename='{}' --file_service_type=roundrobin --size={} --io_size={} --bs={} --iodepth={} --direct={} --overwrite=0 "
      "--fallocate=none --output-format=json 2>&1",
      pattern, fmt::join(names, ":"), files.total_bytes(), files.total_bytes(), setting.block_bytes, setting.depth, files.direct() ? 1 : 0);
}

}  // namespace

std::string fio_version() {
  const std::string engines = output_of("fio --enghelp 2>/dev/null");
  if (engines.find("\tio_uring\n") == std::string::npos) return {};
  std::string version = output_of("fio --version 2>/dev/null");
  while (!version.empty() && version.back() == '\n') version.pop_back();
  return version;
}

Sample measure_fio(Mode mode, const Setting& setting, const TestFiles& files) {
  files.drop_cache();
  const std::string output = output_of(command_of(mode, setting, files));
  try {
    const nlohmann::json parsed = nlohmann::json::parse(output.substr(output.find('{')));
    const nlohmann::json& job = parsed.at("jobs").at(0);
    if (job.at("error") != 0) throw std::runtime_error("its job failed");
    double bytes = 0.0;
    double milliseconds = 0.0;
    for (const char* direction : {"read", "write"}) {
      bytes += job.at(direction).at("io_bytes").get<double>();
      milliseconds = std::max(milliseconds, job.at(direction).at("runtime").get<double>());
    }
    const double cpu_share = (job.at("usr_cpu").get<double>() + job.at("sys_cpu").get<double>()) / 100.0;
    const double cpu_seconds = cpu_share * job.at("job_runtime").get<double>() / 1000.0;
    return {bytes / (milliseconds / 1000.0), cpu_seconds / (bytes / kGib), job.at("read").at("io_bytes").get<double>() / bytes};
  } catch (const std::exception& error) {
    core::throw_storage("measure with", "fio", fmt::format("{}: {}", error.what(), output.substr(0, 500)), "look at its output");
  }
}

}  // namespace gsnake::bench
