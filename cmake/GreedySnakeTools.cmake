# Build tools that are used where present, and the two functions that declare modules and tests.
find_program(GSNAKE_CCACHE ccache)
if(GSNAKE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${GSNAKE_CCACHE})
endif()
find_program(GSNAKE_MOLD mold)
if(GSNAKE_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_library(gsnake_warnings INTERFACE)
target_compile_options(gsnake_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual)

# gsnake_module(NAME [DEPENDS module...] [LINK target...] [PRIVATE_LINK target...]): a static library of every .cpp in the
# current folder. DEPENDS is the whole list of modules whose headers it may include (design section 10).
function(gsnake_module name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LINK;PRIVATE_LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp ${CMAKE_CURRENT_SOURCE_DIR}/*/*.cpp)
  if(NOT sources)
    set(sources ${PROJECT_SOURCE_DIR}/cmake/empty.cpp)
  endif()
  add_library(gsnake_${name} STATIC ${sources})
  add_library(GreedySnake::${name} ALIAS gsnake_${name})
  set_target_properties(gsnake_${name} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(gsnake_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>
    $<INSTALL_INTERFACE:include>)
  target_compile_features(gsnake_${name} PUBLIC cxx_std_20)
  list(TRANSFORM ARG_DEPENDS PREPEND gsnake_)
  target_link_libraries(gsnake_${name} PUBLIC ${ARG_DEPENDS} ${ARG_LINK} PRIVATE ${ARG_PRIVATE_LINK} $<BUILD_INTERFACE:gsnake_warnings>)
  set_property(GLOBAL APPEND PROPERTY GSNAKE_MODULES gsnake_${name})
endfunction()

# gsnake_test(NAME [DEPENDS module...] [LINK target...] [LABELS label...]): one program of every .cpp in the current folder;
# each of its cases becomes a CTest test NAME.Suite.Case.
function(gsnake_test name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LINK;LABELS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(test_${name} ${sources})
  list(TRANSFORM ARG_DEPENDS PREPEND gsnake_)
  target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(test_${name} PRIVATE ${ARG_DEPENDS} ${ARG_LINK} GTest::gtest GTest::gmock GTest::gtest_main gsnake_warnings)
  gtest_discover_tests(test_${name} TEST_PREFIX ${name}. DISCOVERY_MODE PRE_TEST PROPERTIES LABELS "${name};${ARG_LABELS}" TIMEOUT 600)
endfunction()
