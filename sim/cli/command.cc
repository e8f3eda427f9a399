#include "sim/cli/command.h"

#include <charconv>
#include <filesystem>

#include "sim/core/error.h"

namespace sparseserve::cli {

namespace po = boost::program_options;

constexpr unsigned kHelpWidth = 100;

po::variables_map Parse(const Arguments& arguments, const po::options_description& options,
                        const std::vector<std::string>& positional, const std::string& verb) {
  po::positional_options_description words;
  for (const std::string& name : positional) {
    const bool takes_all = name.ends_with("...");
    words.add(name.substr(0, name.size() - (takes_all ? 3 : 0)).c_str(), takes_all ? -1 : 1);
  }
  const int style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
  po::variables_map values;
  try {
    po::store(
        po::command_line_parser(arguments).options(options).positional(words).style(style).run(),
        values);
    po::notify(values);
  } catch (const po::error& error) {
    throw InputError({.where = {},
                      .key = verb,
                      .what = error.what(),
                      .expected = "",
                      .hint = "see 'sparseserve " + verb + " --help'"});
  }
  return values;
}

std::int64_t ParseInteger(const std::string& value, const std::string& option, std::int64_t min,
                          std::int64_t max) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  const bool whole = error != std::errc::invalid_argument && end == value.data() + value.size();
  if (whole && error == std::errc() && number >= min && number <= max) return number;
  throw InputError(
      {.where = {},
       .key = "--" + option,
       .what = "'" + value + "' is " + (whole ? "out of range" : "not an integer"),
       .expected = "an integer from " + std::to_string(min) + " to " + std::to_string(max),
       .hint = ""});
}

std::string FindDataRoot(const std::string& given) {
  namespace fs = std::filesystem;
  const auto complete = [](const fs::path& root) {
    std::error_code unreadable;  // is as good as absent
    return fs::is_directory(root / "configs/systems", unreadable) &&
           fs::is_directory(root / "models/llm/configs", unreadable);
  };
  if (!given.empty()) {
    if (complete(given)) return given;
    throw InputError({.where = {},
                      .key = "--data",
                      .what = "'" + given + "' holds no configs/systems and models/llm/configs",
                      .expected = "a checkout or an installed data directory",
                      .hint = ""});
  }
  std::error_code unknown;  // then the path is empty, and the next place decides
  const fs::path binary = fs::read_symlink("/proc/self/exe", unknown);
  const std::string installed = binary.parent_path().parent_path() / "share/sparseserve";
  for (const std::string& root : {std::string("."), installed, std::string(SPARSESERVE_DATA_ROOT)})
    if (complete(root)) return root;
  throw InputError({.where = {},
                    .key = "--data",
                    .what = "configs/systems and models/llm/configs are neither here, nor in " +
                            installed + ", nor in " SPARSESERVE_DATA_ROOT,
                    .expected = "a checkout or an installed data directory",
                    .hint = "name it with --data DIR"});
}

po::options_description CommonOptions() {
  po::options_description options("options", kHelpWidth, kHelpWidth - 30);
  options.add_options()("help,h", "print this text");
  options.add_options()(
      "data", Text("DIR"),
      "directory with configs/, models/ and calibration/ (default: here, else "
      "../share/sparseserve beside the binary, else the checkout it was built from)");
  return options;
}

po::typed_value<std::string>* Text(const char* shown, const char* value) {
  return po::value<std::string>()->value_name(shown)->default_value(value, value);
}

po::typed_value<std::vector<std::string>>* Texts(const char* shown) {
  return po::value<std::vector<std::string>>()->composing()->value_name(shown)->default_value({},
                                                                                              "");
}

}  // namespace sparseserve::cli
