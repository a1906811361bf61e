# Read by cpack for each kind of package.
if(CPACK_GENERATOR STREQUAL TGZ)
  # What is unpacked by hand says in its topmost folder what to do with it.
  list(GET CPACK_INSTALL_CMAKE_PROJECTS 0 _build)
  list(APPEND CPACK_INSTALL_CMAKE_PROJECTS ${_build} GreedySnake archive /)
elseif(CPACK_GENERATOR STREQUAL DEB)
  # Debian's packages with the libraries that the programs ask for. CPack's own way of asking looks into each file of the package, of which thousands are headers.
  set(_folder ${CPACK_PACKAGE_DIRECTORY}/_CPack_Packages/depends)
  file(WRITE ${_folder}/debian/control "Source: greedysnake\n\nPackage: greedysnake\nArchitecture: any\n")
  list(TRANSFORM CPACK_GSNAKE_PRIVATE_DIRS PREPEND -l)
  execute_process(COMMAND dpkg-shlibdeps --ignore-missing-info -O ${CPACK_GSNAKE_PRIVATE_DIRS} ${CPACK_GSNAKE_PROGRAMS} WORKING_DIRECTORY ${_folder}
    OUTPUT_VARIABLE _depends ERROR_VARIABLE _messages RESULT_VARIABLE _failed)
  if(_failed OR NOT _depends MATCHES "shlibs:Depends=([^\n]+)")
    message(FATAL_ERROR "dpkg-shlibdeps cannot say what the programs need (${_failed}): ${_messages}")
  endif()
  set(CPACK_DEBIAN_PACKAGE_DEPENDS "${CMAKE_MATCH_1}")
endif()
