# Install and export: find_package(GreedySnake) gives GreedySnake::greedysnake; of a static build also a target for each module.
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
configure_package_config_file(cmake/GreedySnakeConfig.cmake.in ${PROJECT_BINARY_DIR}/GreedySnakeConfig.cmake INSTALL_DESTINATION ${_package_dir}
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/GreedySnakeConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/GreedySnakeConfig.cmake ${PROJECT_BINARY_DIR}/GreedySnakeConfigVersion.cmake
  cmake/GreedySnakeDependencies.cmake cmake/FindLibTorch.cmake DESTINATION ${_package_dir})
