# Run at every build: writes the commit of SOURCE into the header OUT, and touches it only when that changed.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND git describe --always --dirty WORKING_DIRECTORY ${SOURCE}
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT commit)
  set(commit "unknown commit")
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "#define SPARSESERVE_COMMIT \"@commit@\"\n" @ONLY)
