# Imported targets for LibTorch's CPU library, LibTorch::cpu, and, where its CUDA libraries are there as well, LibTorch::cuda, which has the CUDA
# runtime that LibTorch was built with, without its headers (GreedySnake::cuda_headers). LibTorch_CUDA_LACKS says why there is none.
# Looks in LIBTORCH (CMake or environment), then Torch_DIR, then GreedySnake_LIBTORCH (where an installed GreedySnake was built with it),
# then .deps/libtorch, where scripts/setup unpacks the wheel.
# The wheel's own package file demands a CUDA toolkit, which a CPU user does not have; hence ours.
set(_hints ${LIBTORCH} $ENV{LIBTORCH})
if(Torch_DIR)
  list(APPEND _hints ${Torch_DIR}/../../..)
endif()
list(APPEND _hints ${GreedySnake_LIBTORCH} ${CMAKE_CURRENT_LIST_DIR}/../.deps/libtorch/torch)
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
  # LibTorch ships headers of a newer fmt, which its include folder would put before those that spdlog was built with. A link to the
  # latter goes first (/usr/include itself must not: the compiler's own order of its headers depends on it).
  if(TARGET fmt::fmt)
    get_target_property(_fmt fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/fmt_before_libtorch)
    file(CREATE_LINK ${_fmt}/fmt ${CMAKE_BINARY_DIR}/fmt_before_libtorch/fmt SYMBOLIC)
    target_include_directories(LibTorch::cpu SYSTEM INTERFACE ${CMAKE_BINARY_DIR}/fmt_before_libtorch)
  endif()
  target_include_directories(LibTorch::cpu SYSTEM INTERFACE ${LibTorch_INCLUDE_DIR} ${LibTorch_INCLUDE_DIR}/torch/csrc/api/include)
  # libtorch_cpu needs libcudart and libcupti, which its own RPATH finds beside it; the linker need not see them.
  target_link_libraries(LibTorch::cpu INTERFACE LibTorch::c10)
  target_link_options(LibTorch::cpu INTERFACE -Wl,--allow-shlib-undefined)
  if(NOT DEFINED GreedySnake_SOURCE_DIR)  # for programs that are installed, whose own path CMake takes away; what GreedySnake installs has an INSTALL_RPATH
    target_link_options(LibTorch::cpu INTERFACE -Wl,-rpath,${_lib})
  endif()
endif()

# The libraries of NVIDIA's that libtorch_cuda needs are looked for when it is loaded: beside it in an installed torch, else as the linker does.
find_library(LibTorch_CUDA_LIBRARY torch_cuda PATHS ${_hints} PATH_SUFFIXES lib NO_DEFAULT_PATH)
find_library(LibTorch_C10_CUDA_LIBRARY c10_cuda PATHS ${_hints} PATH_SUFFIXES lib NO_DEFAULT_PATH)
if(LibTorch_FOUND)
  cmake_path(GET LibTorch_CPU_LIBRARY PARENT_PATH _lib)
  file(GLOB _cudart ${_lib}/../../nvidia/*/lib/libcudart.so.* ${_lib}/libcudart*.so.*)
endif()
set(LibTorch_CUDA_LACKS)
if(NOT LibTorch_CUDA_LIBRARY OR NOT LibTorch_C10_CUDA_LIBRARY)
  set(LibTorch_CUDA_LACKS "LibTorch is without its CUDA libraries; scripts/setup unpacks them where it finds nvcc")
elseif(NOT _cudart)
  set(LibTorch_CUDA_LACKS "there is no CUDA runtime (libcudart.so) beside LibTorch")
elseif(NOT TARGET LibTorch::cuda)
  list(GET _cudart 0 _cudart)
  add_library(LibTorch::cudart SHARED IMPORTED)
  set_target_properties(LibTorch::cudart PROPERTIES IMPORTED_LOCATION ${_cudart})
  add_library(LibTorch::c10_cuda SHARED IMPORTED)
  set_target_properties(LibTorch::c10_cuda PROPERTIES IMPORTED_LOCATION ${LibTorch_C10_CUDA_LIBRARY})
  add_library(LibTorch::cuda SHARED IMPORTED)
  set_target_properties(LibTorch::cuda PROPERTIES IMPORTED_LOCATION ${LibTorch_CUDA_LIBRARY})
  target_link_libraries(LibTorch::cuda INTERFACE LibTorch::c10_cuda LibTorch::cudart LibTorch::cpu)
  # Operators are registered by loading the library: it is needed even where no symbol of it is.
  target_link_options(LibTorch::cuda INTERFACE -Wl,--no-as-needed)
endif()
mark_as_advanced(LibTorch_INCLUDE_DIR LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_CUDA_LIBRARY LibTorch_C10_CUDA_LIBRARY)
