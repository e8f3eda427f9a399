#include "sim/config/name_resolver.h"

#include <algorithm>
#include <filesystem>

#include "sim/config/value_text.h"

namespace sparseserve::config {
namespace {

namespace fs = std::filesystem;

struct Shelf {
  const char* noun;
  const char* folder;
  std::vector<std::string> extensions;  // in order of preference
};

Shelf ShelfOf(Catalogue catalogue) {
  switch (catalogue) {
    case Catalogue::kModel:
      return {"model", "models/llm/configs", {".json", ".yaml"}};
    case Catalogue::kMachine:
      return {"machine", "models/hardware/configs", {".yaml"}};
    case Catalogue::kCalibration:
      return {"calibration", "calibration/devices", {".yaml"}};
    case Catalogue::kSystem:
      return {"system", "configs/systems", {".yaml"}};
  }
  return {};
}

}  // namespace

bool IsPath(const std::string& value) {
  return value.find('/') != std::string::npos || value.ends_with(".yaml") ||
         value.ends_with(".yml") || value.ends_with(".json");
}

std::string ResolveName(Catalogue catalogue, const std::string& value, const std::string& data_root,
                        const SourceLoc& where, const std::string& key) {
  if (IsPath(value)) {
    const fs::path path(value);
    // What comes from the command line is relative to the working directory.
    const bool from_file = !where.file.empty() && !where.file.starts_with("--set ");
    return path.is_relative() && from_file ? (fs::path(where.file).parent_path() / path).string()
                                           : value;
  }
  const Shelf shelf = ShelfOf(catalogue);
  for (const std::string& extension : shelf.extensions) {
    const fs::path path = fs::path(data_root) / shelf.folder / (value + extension);
    if (!value.empty() && fs::exists(path)) return path.string();
  }
  const std::vector<std::string> known = KnownNames(catalogue, data_root);
  std::string expected = "a path";
  if (!known.empty()) expected = JoinWords(known) + ", or a path";
  throw InputError({where, key, "no " + std::string(shelf.noun) + " is called '" + value + "'",
                    expected, DidYouMean(value, known)});
}

std::vector<std::string> KnownNames(Catalogue catalogue, const std::string& data_root) {
  const Shelf shelf = ShelfOf(catalogue);
  std::vector<std::string> names;
  std::error_code ignored;  // a missing folder holds no names
  for (const auto& entry : fs::directory_iterator(fs::path(data_root) / shelf.folder, ignored)) {
    const std::string extension = entry.path().extension().string();
    if (std::find(shelf.extensions.begin(), shelf.extensions.end(), extension) !=
        shelf.extensions.end()) {
      names.push_back(entry.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace sparseserve::config
