# Install and export: find_package(GreedySnake) gives GreedySnake::greedysnake; of a static build also a target for each module. pkg-config greedysnake, of a shared one.
include(CMakePackageConfigHelpers)
set(_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/GreedySnake)
if(NOT GSNAKE_SHARED)
  get_property(_modules GLOBAL PROPERTY GSNAKE_MODULES)
endif()

install(TARGETS greedysnake ${_modules} EXPORT GreedySnakeTargets)
install(EXPORT GreedySnakeTargets NAMESPACE GreedySnake:: DESTINATION ${_package_dir})
install(DIRECTORY include/greedysnake DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

if(GSNAKE_TORCH)
  cmake_path(GET LibTorch_INCLUDE_DIR PARENT_PATH GreedySnake_LIBTORCH)
endif()
write_basic_package_version_file(${PROJECT_BINARY_DIR}/GreedySnakeConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/GreedySnakeConfigVersion.cmake
  cmake/GreedySnakeDependencies.cmake cmake/FindLibTorch.cmake DESTINATION ${_package_dir})

# gsnake_install_descriptions(FOLDER LIBTORCH [argument of install]...): what find_package() and pkg-config read, made in FOLDER. LIBTORCH is where that is; "": in the package.
function(gsnake_install_descriptions folder GreedySnake_LIBTORCH)
  configure_package_config_file(cmake/GreedySnakeConfig.cmake.in ${folder}/GreedySnakeConfig.cmake INSTALL_DESTINATION ${_package_dir}
    NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
  install(FILES ${folder}/GreedySnakeConfig.cmake DESTINATION ${_package_dir} ${ARGN})
  if(NOT GSNAKE_SHARED)
    return()
  endif()
  set(pkgconfig_libtorch "${GreedySnake_LIBTORCH}")
  if(NOT pkgconfig_libtorch)
    set(pkgconfig_libtorch "\${libdir}/greedysnake/libtorch")
  endif()
  cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE pkgconfig_to_prefix)
  if(GSNAKE_TORCH)
    set(pkgconfig_torch_cflags " -isystem \${libtorch}/include -isystem \${libtorch}/include/torch/csrc/api/include")
    set(pkgconfig_torch_libs " -L\${libtorch}/lib -Wl,-rpath,\${libtorch}/lib -Wl,--allow-shlib-undefined -ltorch_cpu -lc10")
  endif()
  configure_file(cmake/greedysnake.pc.in ${folder}/greedysnake.pc @ONLY)
  install(FILES ${folder}/greedysnake.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig ${ARGN})
endfunction()

gsnake_install_descriptions(${PROJECT_BINARY_DIR}/installed "${GreedySnake_LIBTORCH}")
