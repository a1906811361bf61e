// The process's one use of cuFile: the library, found at run time, and its driver, open while anybody needs it.
#pragma once

#include <memory>
#include <string>

#include "greedysnake/error.h"
#include "io/cufile_calls.h"

namespace gsnake::io::cufile {

// Why cuFile can't be had: an Error(usage) "cannot use cuFile: REASON; REMEDY".
class Unavailable : public Error {
 public:
  Unavailable(const std::string& reason, const std::string& remedy);

  [[nodiscard]] const std::string& reason() const noexcept { return reason_; }
  [[nodiscard]] const std::string& remedy() const noexcept { return remedy_; }

 private:
  std::string reason_;
  std::string remedy_;
};

// How data goes between drives and GPU memory.
struct Mode {
  bool compatibility = false;  // through host memory; cuFile's word for it
  std::string reason;          // "nvidia-fs 2.24", "PCI peer-to-peer"; or why through host memory
  std::string remedy;          // what to do about that
};

// The library that is meant: `given`; where that is empty, what GSNAKE_CUFILE in the environment says, else kCuFileLibrary.
[[nodiscard]] std::string library_of(const std::string& given);

// Neither copied nor moved. Thread-safe.
class Driver {
 public:
  // Opened by the first that needs it and closed by the last: cuFile itself does not count in all versions. The library stays loaded, as
  // its threads do. Throws Unavailable.
  static std::shared_ptr<Driver> open(const std::string& given_library);

  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;
  ~Driver();

  [[nodiscard]] const Calls& calls() const noexcept { return calls_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }  // "libcufile.so.0 1.15"
  [[nodiscard]] const Mode& mode() const noexcept { return mode_; }

 private:
  explicit Driver(const std::string& library);
  void close() noexcept;
  [[nodiscard]] Mode find_mode() const;

  Calls calls_;
  bool opened_ = false;  // by us: else somebody in this process, who also closes it
  std::string name_;
  Mode mode_;
};

}  // namespace gsnake::io::cufile
