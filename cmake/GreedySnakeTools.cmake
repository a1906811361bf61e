# Build tools that are used where present, and the two functions that declare modules and tests.
find_program(GSNAKE_CCACHE ccache)
if(GSNAKE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # The sloppiness is what ccache asks for to cache sources that use a precompiled header. Paths are hashed relative to the source folder, so that
  # one clone finds what another has compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
    ${GSNAKE_CCACHE})
endif()
find_program(GSNAKE_MOLD mold)
if(GSNAKE_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_library(gsnake_warnings INTERFACE)
target_compile_options(gsnake_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual)

# What a sanitizer build adds to every program: the options that the sanitizer starts with.
add_library(gsnake_sanitizer INTERFACE)
if(GSNAKE_SANITIZE)
  set(_asan_flags -fsanitize=address,undefined -fno-sanitize-recover=undefined)
  set(_tsan_flags -fsanitize=thread)
  if(NOT DEFINED _${GSNAKE_SANITIZE}_flags)
    message(FATAL_ERROR "GSNAKE_SANITIZE is '${GSNAKE_SANITIZE}'; it must be asan or tsan")
  endif()
  add_compile_options(${_${GSNAKE_SANITIZE}_flags})
  add_link_options(${_${GSNAKE_SANITIZE}_flags})
  target_sources(gsnake_sanitizer INTERFACE ${PROJECT_SOURCE_DIR}/cmake/sanitizer_options.cpp)
  set(GSNAKE_TEST_PREFIX ${GSNAKE_SANITIZE}.)
endif()

if(GSNAKE_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "GSNAKE_FUZZ is on and the compiler is ${CMAKE_CXX_COMPILER_ID}; libFuzzer comes with clang: use the preset fuzz")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()

# gsnake_module(NAME [DEPENDS module...] [LINK target...] [PRIVATE_LINK target...]): a static library of every .cpp in the
# current folder. DEPENDS is the whole list of modules whose headers it may include (design section 10).
function(gsnake_module name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LINK;PRIVATE_LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp ${CMAKE_CURRENT_SOURCE_DIR}/*/*.cpp)
  add_library(gsnake_${name} STATIC ${sources})
  add_library(GreedySnake::${name} ALIAS gsnake_${name})
  set_target_properties(gsnake_${name} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(gsnake_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(gsnake_${name} PUBLIC cxx_std_20)
  set_property(GLOBAL APPEND PROPERTY GSNAKE_MODULES gsnake_${name})
  list(JOIN ARG_DEPENDS " " depends)
  set_property(GLOBAL APPEND PROPERTY GSNAKE_LAYERS "${name}: ${depends}")
  list(TRANSFORM ARG_DEPENDS PREPEND gsnake_)
  target_link_libraries(gsnake_${name} PUBLIC ${ARG_DEPENDS} ${ARG_LINK} PRIVATE ${ARG_PRIVATE_LINK} $<BUILD_INTERFACE:gsnake_warnings>)
endfunction()

# gsnake_precompile_torch(TARGET): gives it <torch/torch.h> precompiled: once, in gsnake_model, as gcc takes 35 s and 400 MB over it.
function(gsnake_precompile_torch target)
  if(NOT TARGET ${target})
    return()
  endif()
  if(target STREQUAL gsnake_model)
    target_precompile_headers(gsnake_model PRIVATE <torch/torch.h>)
  else()
    target_precompile_headers(${target} REUSE_FROM gsnake_model)
    target_link_libraries(${target} PRIVATE spdlog::spdlog)  # whose definitions the header was compiled with
    # A precompiled header is for one kind of position-independent code, and programs would be built as PIE.
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)  # or ccache would cache none of it
endfunction()

# gsnake_test(NAME [LABEL label] [SERIAL] [PROCESSORS n] [SPLIT regex] [DEPENDS module...] [LINK target...]): one program of every .cpp in the current folder;
# each of its suites becomes a CTest test NAME.Suite (tsan.NAME.Suite in a ThreadSanitizer build) with the label NAME or LABEL, whose output names the
# case that failed. SPLIT: suites whose name matches have a test for each case instead, NAME.Suite.Case: those whose cases take seconds, so
# that they spread over the cores. PROCESSORS: how many cores one test keeps busy. SERIAL: nothing else may run beside it (it compares rates).
function(gsnake_test name)
  cmake_parse_arguments(ARG "SERIAL" "LABEL;PROCESSORS;SPLIT" "DEPENDS;LINK" ${ARGN})
  if(NOT ARG_LABEL)
    set(ARG_LABEL ${name})
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(test_${name} ${sources})
  list(TRANSFORM ARG_DEPENDS PREPEND gsnake_)
  target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(test_${name} PRIVATE ${ARG_DEPENDS} ${ARG_LINK} GTest::gtest GTest::gmock GTest::gtest_main gsnake_warnings gsnake_sanitizer)
  # Tests run side by side: threads of OpenMP that spin while they wait would take the cores from one another.
  set(properties LABELS ${ARG_LABEL} ENVIRONMENT OMP_WAIT_POLICY=PASSIVE ENVIRONMENT_MODIFICATION XDG_CACHE_HOME=set:${PROJECT_BINARY_DIR}/no-profiles)
  if(ARG_SERIAL)
    list(PREPEND properties RUN_SERIAL ON)
  endif()
  if(ARG_PROCESSORS)
    list(PREPEND properties PROCESSORS ${ARG_PROCESSORS})
  endif()
  set(tests ${CMAKE_CURRENT_BINARY_DIR}/test_${name}_tests.cmake)
  file(GENERATE OUTPUT ${tests} CONTENT "set(PROGRAM [==[$<TARGET_FILE:test_${name}>]==])
set(PREFIX ${GSNAKE_TEST_PREFIX}${name}.)
set(SPLIT [==[${ARG_SPLIT}]==])
set(PROPERTIES [==[${properties}]==])
set(LIST_FILE [==[${CMAKE_CURRENT_BINARY_DIR}/test_${name}_list.txt]==])
include([==[${PROJECT_SOURCE_DIR}/cmake/DiscoverSuites.cmake]==])
")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${tests})
endfunction()
