# Imported targets for LibTorch's CPU library: LibTorch::cpu.
# Looks in LIBTORCH (CMake or environment), then Torch_DIR, then .deps/libtorch, where scripts/setup unpacks the wheel.
# The wheel's own package file demands a CUDA toolkit, which a CPU user does not have; hence ours.
set(_hints ${LIBTORCH} $ENV{LIBTORCH})
if(Torch_DIR)
  list(APPEND _hints ${Torch_DIR}/../../..)
endif()
list(APPEND _hints ${PROJECT_SOURCE_DIR}/.deps/libtorch/torch)
find_path(LibTorch_INCLUDE_DIR torch/csrc/api/include/torch/torch.h PATHS ${_hints} PATH_SUFFIXES include NO_DEFAULT_PATH)
find_library(LibTorch_CPU_LIBRARY torch_cpu PATHS ${_hints} PATH_SUFFIXES lib NO_DEFAULT_PATH)
find_library(LibTorch_C10_LIBRARY c10 PATHS ${_hints} PATH_SUFFIXES lib NO_DEFAULT_PATH)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "run scripts/setup, or set LIBTORCH to an unpacked LibTorch")
if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  cmake_path(GET LibTorch_CPU_LIBRARY PARENT_PATH _lib)
  add_library(LibTorch::c10 SHARED IMPORTED)
  set_target_properties(LibTorch::c10 PROPERTIES IMPORTED_LOCATION ${LibTorch_C10_LIBRARY})
  add_library(LibTorch::cpu SHARED IMPORTED)
  set_target_properties(LibTorch::cpu PROPERTIES IMPORTED_LOCATION ${LibTorch_CPU_LIBRARY})
  target_include_directories(LibTorch::cpu SYSTEM INTERFACE ${LibTorch_INCLUDE_DIR} ${LibTorch_INCLUDE_DIR}/torch/csrc/api/include)
  # libtorch_cpu needs libcudart and libcupti, which its own RPATH finds beside it; the linker need not see them.
  target_link_libraries(LibTorch::cpu INTERFACE LibTorch::c10)
  target_link_options(LibTorch::cpu INTERFACE -Wl,--allow-shlib-undefined -Wl,-rpath,${_lib})
endif()
mark_as_advanced(LibTorch_INCLUDE_DIR LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY)
