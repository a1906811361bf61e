# cmake -DOUTPUT=FILE.cpp -DPAGE=FILE -DSTYLES=FILES -DSCRIPTS=FILES -P embed.cmake: writes the functions of page_files.h. Bytes, not string
# literals: no compiler limits their length, and nothing in a file needs an escape.
function(embed name)
  set(hex "")
  foreach(file ${ARGN})
    file(READ ${file} bytes HEX)
    string(APPEND hex ${bytes})
  endforeach()
  string(REGEX REPLACE "(..)" "'\\\\x\\1'," hex "${hex}")
  string(REGEX REPLACE "(('....',)('....',)('....',)('....',)('....',)('....',)('....',)('....',))" "\\1\n" hex "${hex}")
  file(APPEND ${OUTPUT}.new "namespace {\nconstexpr char k_${name}[] = {\n${hex}};\n}\nstd::string_view ${name}() { return {k_${name}, sizeof k_${name}}; }\n")
endfunction()

file(WRITE ${OUTPUT}.new "#include \"report/page_files.h\"\n\nnamespace gsnake::report {\n")
embed(page_template ${PAGE})
embed(page_style ${STYLES})
embed(page_script ${SCRIPTS})
file(APPEND ${OUTPUT}.new "}  // namespace gsnake::report\n")
file(RENAME ${OUTPUT}.new ${OUTPUT})
