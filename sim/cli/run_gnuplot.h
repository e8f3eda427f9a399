// Draws with gnuplot where it is installed; nothing depends on it.
#pragma once

#include <string>

namespace sparseserve::cli {

// Runs `script` in `directory`. False when there is no gnuplot, or it fails.
bool RunGnuplot(const std::string& directory, const std::string& script);

}  // namespace sparseserve::cli
