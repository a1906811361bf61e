# gsnake_install_licences(DESTINATION [arguments of install()...]): those of Debian's libraries whose headers are compiled in, a folder each.
function(gsnake_install_licences destination)
  foreach(library libcli11-dev nlohmann-json3-dev libtomlplusplus-dev libspdlog-dev libfmt-dev libhwy-dev)
    install(FILES /usr/share/doc/${library}/copyright DESTINATION ${destination}/${library} OPTIONAL ${ARGN})
  endforeach()
endfunction()

# gsnake_install_licences_of_carried(FOLDER DESTINATION [arguments of install()...]): those of Debian's libraries that are in FOLDER by then. Both folders are below the prefix.
function(gsnake_install_licences_of_carried folder destination)
  install(CODE "
    file(GLOB libraries RELATIVE \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${folder}\" \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${folder}/*.so*\")
    foreach(library \${libraries})
      execute_process(COMMAND dpkg-query --search \"*/\${library}\" OUTPUT_VARIABLE owners ERROR_QUIET)
      if(owners MATCHES \"^([^:,]+)\" AND EXISTS /usr/share/doc/\${CMAKE_MATCH_1}/copyright)
        file(INSTALL /usr/share/doc/\${CMAKE_MATCH_1}/copyright DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${destination}/\${CMAKE_MATCH_1}\" FOLLOW_SYMLINK_CHAIN)
      else()
        message(WARNING \"no licence is found of \${library}, which the package carries\")
      endif()
    endforeach()" ${ARGN})
endfunction()
