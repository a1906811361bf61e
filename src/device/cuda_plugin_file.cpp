#include "device/cuda_plugin_file.h"

#include <dlfcn.h>

#include <filesystem>
#include <system_error>

namespace gsnake::device {
namespace {

constexpr const char* kFile = "libgreedysnake_cuda.so";

// Of the library or program that this function is in; "" where the linker can't tell.
std::string own_folder() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&own_folder), &info) == 0 || info.dli_fname == nullptr) return {};
  std::error_code ignored;
  const std::filesystem::path path = std::filesystem::canonical(info.dli_fname, ignored);  // a symbolic link's target has the neighbours
  return path.parent_path().string();
}

std::string path_of(const void* symbol, const std::string& name) {
  Dl_info info{};
  return ::dladdr(symbol, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : name;
}

}  // namespace

CudaPluginFile open_cuda_plugin(const std::string& name, const std::string& folder) {
  // All at once: a function that a library lacks is told now, and not by an abort in the middle of a run.
  void* const handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* const text = ::dlerror();
    const std::string why = text == nullptr ? "the dynamic linker does not say why" : text;
    if (why.starts_with(name + ": cannot open shared object file")) return {{}, nullptr, plugin_not_found(folder)};
    return {{}, nullptr, plugin_not_opened(name, why)};
  }
  void* const symbol = ::dlsym(handle, kCudaPluginEntry);
  if (symbol == nullptr) return {{}, nullptr, plugin_of_another_build(name)};
  const CudaPluginTable* const table = reinterpret_cast<CudaPluginEntry>(symbol)();
  const std::string path = path_of(symbol, name);
  if (table->abi != kCudaPluginAbi) return {{}, nullptr, plugin_of_another_build(path)};
  return {path, table, {}};
}

const CudaPluginFile& cuda_plugin() {
  static const CudaPluginFile file = [] {
    const std::string folder = own_folder();
    const std::string beside = folder + "/" + kFile;
    std::error_code ignored;
    return open_cuda_plugin(!folder.empty() && std::filesystem::exists(beside, ignored) ? beside : kFile, folder);
  }();
  return file;
}

}  // namespace gsnake::device
