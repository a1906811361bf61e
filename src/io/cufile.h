// GPUDirect Storage: an engine whose transfers go through NVIDIA's cuFile, to and from host memory and GPU memory.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "io/engine.h"

namespace gsnake::io {

inline constexpr const char* kCuFileLibrary = "libcufile.so.0";

struct CuFileOptions {
  // A path, or a name that the loader looks for; empty: what the environment variable GSNAKE_CUFILE says, else kCuFileLibrary.
  std::string library{};
  // Called on each of the engine's threads before its first transfer; must not throw. Whoever registers GPU memory makes its CUDA context
  // current here, which cuFile asks of the calling thread. May be empty.
  std::function<void()> enter_thread{};
};

// Whether cuFile can be used on this machine.
struct CuFileStatus {
  bool available = false;
  bool compatibility_mode = false;  // cuFile's word: what is meant for the GPU passes through host memory
  std::string library;              // "libcufile.so.0 1.15"; the name alone where it is not available
  std::string reason;               // why it is not available; else how data goes ("nvidia-fs 2.24"), or why through host memory
  std::string remedy;               // what to do about that; empty where there is a direct path
};

// Loads the library, opens its driver and closes it again: up to a second, and no file is touched. Thread-safe; does not throw for what it
// finds.
[[nodiscard]] CuFileStatus cufile_status(const CuFileOptions& options = {});

// One line: "libcufile.so.0 1.15, direct path to the GPU by nvidia-fs 2.24", "..., compatibility mode: data passes through host memory
// (nvidia-fs is not loaded; ...)", or "not available: REASON; REMEDY".
[[nodiscard]] std::string describe(const CuFileStatus& status);

// An engine named "cufile" whose requests may also be in memory that register_device_buffer() was told of. add_file() throws Error(storage)
// where cuFile refuses the file. Throws Error(usage) with reason and remedy where cuFile can't be had.
std::unique_ptr<IoEngine> make_cufile_engine(const EngineOptions& options, const CuFileOptions& cufile = {});

}  // namespace gsnake::io
