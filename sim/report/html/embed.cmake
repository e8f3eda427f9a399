# Writes OUT, a C++ file that defines the texts of html_assets.h, from FILES ("name=path" each,
# several paths joined by ","). Run at build time: cmake -DOUT=... -DFILES=... -P embed.cmake
#
# A text that would end the <script> or <style> it goes into is refused. References to source maps
# are cut: the page must ask for nothing.
cmake_minimum_required(VERSION 3.25)
set(code "// Written by sim/report/html/embed.cmake.\n#include \"sim/report/html_assets.h\"\n\n")
string(APPEND code "namespace sparseserve::report {\n\n")
string(REPLACE "|" ";" FILES "${FILES}")
foreach(entry IN LISTS FILES)
  string(REGEX MATCH "^([A-Za-z]+)=(.*)$" matched "${entry}")
  set(name "${CMAKE_MATCH_1}")
  string(REPLACE "," ";" paths "${CMAKE_MATCH_2}")
  set(text "")
  foreach(path IN LISTS paths)
    file(READ "${path}" part)
    if(NOT name STREQUAL "kHtmlPage" AND part MATCHES "</[sS][cCtT]|<!--")
      message(FATAL_ERROR "${path}: holds '</script', '</style' or '<!--', which would end its element")
    endif()
    string(REGEX REPLACE "(//|/\\*)# sourceMappingURL=[^\n*]*(\\*/)?" "" part "${part}")
    string(APPEND text "${part}")
  endforeach()
  if(text MATCHES "\\)embedded\"")
    message(FATAL_ERROR "${name}: holds the end of the string literal")
  endif()
  string(APPEND code "const std::string_view ${name} = R\"embedded(${text})embedded\";\n\n")
endforeach()
string(APPEND code "}  // namespace sparseserve::report\n")
file(WRITE "${OUT}" "${code}")
