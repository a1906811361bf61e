# The .deb and the .tar.gz that scripts/package makes (docs/install.md): what is installed otherwise, and LibTorch beside it, stripped.
if(NOT GSNAKE_TORCH OR NOT GSNAKE_SHARED)
  return()
endif()

# What an archive has beyond an installation: `cmake --install` leaves these components out.
set(_libtorch_dir ${CMAKE_INSTALL_LIBDIR}/greedysnake/libtorch)
file(GLOB _cuda_libraries ${GSNAKE_LIBTORCH_LIBDIR}/../../nvidia/*/lib/libcudart.so.* ${GSNAKE_LIBTORCH_LIBDIR}/../../nvidia/*/lib/libcupti.so.*)
install(FILES ${LibTorch_CPU_LIBRARY} ${LibTorch_C10_LIBRARY} ${_cuda_libraries} DESTINATION ${_libtorch_dir}/lib COMPONENT libtorch EXCLUDE_FROM_ALL)
install(DIRECTORY ${LibTorch_INCLUDE_DIR} DESTINATION ${_libtorch_dir} COMPONENT libtorch EXCLUDE_FROM_ALL)
# In place of those of an installation, which go first: a file that is no older would stay.
install(CODE "
  foreach(file ${_package_dir}/GreedySnakeConfig.cmake ${CMAKE_INSTALL_LIBDIR}/pkgconfig/greedysnake.pc)
    file(REMOVE \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/\${file}\")
  endforeach()" COMPONENT libtorch EXCLUDE_FROM_ALL)
gsnake_install_descriptions(${PROJECT_BINARY_DIR}/packaged "" COMPONENT libtorch EXCLUDE_FROM_ALL)
install(FILES docs/install.md DESTINATION . RENAME README.md COMPONENT archive EXCLUDE_FROM_ALL)

# The path to LibTorch of the machine that builds goes.
set(_programs ${CMAKE_INSTALL_BINDIR}/gsnake ${CMAKE_INSTALL_LIBDIR}/libgreedysnake.so.${PROJECT_VERSION})
if(TARGET greedysnake_cuda)
  list(APPEND _programs ${CMAKE_INSTALL_LIBDIR}/libgreedysnake_cuda.so)
endif()
install(CODE "
  foreach(program ${_programs})
    set(file \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/\${program}\")
    file(READ_ELF \"\${file}\" RUNPATH runpath)
    string(REPLACE \";\" \":\" runpath \"\${runpath}\")
    string(REGEX REPLACE \":/.*\" \"\" relative \"\${runpath}\")
    file(RPATH_CHANGE FILE \"\${file}\" OLD_RPATH \"\${runpath}\" NEW_RPATH \"\${relative}\")
  endforeach()" COMPONENT libtorch EXCLUDE_FROM_ALL)

# Licences: ours, LibTorch's and NVIDIA's from their wheels, those of header libraries that are compiled in.
set(_doc ${CMAKE_INSTALL_DATADIR}/doc/greedysnake)
install(FILES LICENSE DESTINATION ${_doc} RENAME copyright COMPONENT libtorch EXCLUDE_FROM_ALL)
install(DIRECTORY ${GSNAKE_LIBTORCH_LIBDIR}/../../licences/ DESTINATION ${_doc}/licences COMPONENT libtorch EXCLUDE_FROM_ALL)
gsnake_install_licences(${_doc}/licences COMPONENT libtorch EXCLUDE_FROM_ALL)

install(FILES README.md DESTINATION ${_doc})
install(DIRECTORY docs DESTINATION ${_doc})
install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DATADIR}/greedysnake)
install(FILES apps/gsnake/completion.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME gsnake)

add_custom_target(package_contents DEPENDS greedysnake gsnake)
if(TARGET greedysnake_cuda)
  add_dependencies(package_contents greedysnake_cuda)
endif()

set(CPACK_PACKAGE_NAME greedysnake)
set(CPACK_PACKAGE_VENDOR GreedySnake)
set(CPACK_PACKAGE_CONTACT "The authors of GreedySnake <root@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_DESCRIPTION "A command, gsnake, and a C++20 library that train transformer language models whose weights, optimizer state and activations fit neither in GPU nor host memory. LibTorch's CPU library is part of it.")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_CMAKE_PROJECTS "${PROJECT_BINARY_DIR};GreedySnake;ALL;/" "${PROJECT_BINARY_DIR};GreedySnake;libtorch;/")
set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_SOURCE_DIR}/cmake/package_kinds.cmake)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_COMPRESSION_TYPE zstd)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/cmake/debian/triggers)
# For cmake/package_kinds.cmake.
set(CPACK_GSNAKE_PROGRAMS ${PROJECT_BINARY_DIR}/bin/gsnake ${PROJECT_BINARY_DIR}/src/libgreedysnake.so.${PROJECT_VERSION} ${LibTorch_CPU_LIBRARY} ${LibTorch_C10_LIBRARY} ${_cuda_libraries})
set(CPACK_GSNAKE_PRIVATE_DIRS ${PROJECT_BINARY_DIR}/src ${GSNAKE_LIBTORCH_LIBDIR})
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "g++, cmake, pkg-config")
include(CPack)
