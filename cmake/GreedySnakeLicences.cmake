# gsnake_install_licences(DESTINATION [arguments of install()...]): those of Debian's libraries whose headers are compiled in, a folder each.
function(gsnake_install_licences destination)
  foreach(library libcli11-dev nlohmann-json3-dev libtomlplusplus-dev libspdlog-dev libfmt-dev libhwy-dev)
    install(FILES /usr/share/doc/${library}/copyright DESTINATION ${destination}/${library} OPTIONAL ${ARGN})
  endforeach()
endfunction()

# gsnake_install_licences_of_carried(FOLDER DESTINATION [arguments of install()...]): those of Debian's libraries that are in FOLDER by then. Both folders are below the prefix. Names such as
# libblas.so.3-x86_64-linux-gnu are nobody's: links to files that are there, too.
function(gsnake_install_licences_of_carried folder destination)
  install(CODE "
    file(GLOB libraries RELATIVE \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${folder}\" \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${folder}/*.so*\")
    list(FILTER libraries INCLUDE REGEX \"[.]so([.][0-9]+)*$\")
    foreach(library \${libraries})
      set(owner \"\")
      execute_process(COMMAND dpkg-query --search \"*/\${library}\" OUTPUT_VARIABLE owners ERROR_QUIET)
      if(owners MATCHES \"^([^:,]+)\")
        set(owner \"\${CMAKE_MATCH_1}\")
      endif()
      if(owner AND EXISTS \"/usr/share/doc/\${owner}/copyright\")
        file(INSTALL \"/usr/share/doc/\${owner}/copyright\" DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${destination}/\${owner}\" FOLLOW_SYMLINK_CHAIN)
      else()
        message(WARNING \"no licence is found of \${library}, which the package carries\")
      endif()
    endforeach()" ${ARGN})
endfunction()
