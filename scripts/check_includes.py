#!/usr/bin/env python3
"""Checks the rules of the source tree that no compiler checks: who may include whom, above all.

Usage: scripts/check_includes.py [ROOT]     ROOT defaults to the checkout this script lies in
Reads the sources, build files and texts below ROOT; writes one line `file:line: what is wrong` for
each problem, then a closing count. Exit status: 0 no problem, 1 problems, 2 usage or no sources.

To add a folder: put it into LAYERS. To add a library: give it a home in LIBRARIES.
Not checked: files are read as text, so an include behind #if counts and a macro hides a name.
"""
import fnmatch
import pathlib
import re
import sys

# A folder includes itself and the layers above its line in this list, never its own layer.
LAYERS = [
    ["sim/core"],
    ["sim/des", "models/llm", "models/hardware", "calibration", "traces"],
    ["models/cost", "models/selection"],
    ["sim/kvcache", "sim/metrics"],
    ["sim/scheduler"],
    ["sim/serving"],
    ["sim/plan", "sim/live"],
    ["sim/report"],
    ["sim/config"],
    ["sim/cli"],
]
# Beside the layers: folder -> what it includes.
KERNELS = {
    "kernels": {"sim/core", "kernels/cpu", "kernels/cuda"},  # the table of backends names both
    "kernels/cpu": {"sim/core", "kernels"},
    "kernels/cuda": {"sim/core", "kernels"},
    "kernels/bench": {"sim/core", "kernels", "kernels/cpu", "kernels/cuda", "calibration"},
}
# The models know no clock, although it lies in a lower layer.
FORBIDDEN = {("models/cost", "sim/des"), ("models/selection", "sim/des")}
# The only places where a file may do what its folder may not: file -> included files.
EXCEPTIONS = {}

# Name, headers (regular expression), home (globs of files). tests/ is home to all.
LIBRARIES = [
    ("yaml-cpp", r"yaml-cpp/", ["sim/config/*.cc"]),
    ("Boost.Program_options", r"boost/program_options", ["sim/cli/*"]),
    ("Boost.Graph", r"boost/(graph|property_map)/",
     ["models/hardware/topology.cc", "sim/serving/*.cc"]),
    ("Boost.Random", r"boost/random", ["sim/core/rng.cc"]),
    ("Boost.Math", r"boost/math/", ["sim/plan/statistics.cc"]),
    ("Eigen", r"Eigen/", ["calibration/fit.cc"]),
    ("simdjson", r"simdjson", ["traces/*", "sim/config/yaml_node.cc"]),
    ("nlohmann-json", r"nlohmann/",
     ["sim/config/*", "sim/report/*", "sim/cli/*", "sim/*_writer.cc"]),
    ("fmt", r"fmt/", ["*.cc"]),
    ("Boost.MPI", r"boost/(mpi|serialization)", ["sim/plan/workers.cc"]),
    ("SQLite", r"sqlite3\.h", ["sim/plan/sqlite.cc"]),
    ("xxHash", r"xxhash\.h", ["sim/config/digest.cc"]),
    ("OpenMP", r"omp\.h", ["kernels/cpu/*"]),
    ("CUDA", r"(cuda|cub|cooperative_groups|mma|nvtx3|nvToolsExt|nvml|cublas|curand|device_)",
     ["kernels/cuda/*", "kernels/bench/*"]),
    ("Google Benchmark", r"benchmark/", ["kernels/bench/*"]),
    ("GoogleTest", r"(gtest|gmock)/", []),
    ("RapidCheck", r"rapidcheck", []),
]
STANDARD = re.compile(r"[a-z0-9_]+")  # <vector>; the C headers are written <cstdint>
SYSTEM = re.compile(r"(sys/\w+|linux/\w+|unistd|fcntl|dlfcn|sched|pthread|signal|poll|immintrin"
                    r"|x86intrin|arm_neon)\.h")

# The same seed gives the same bytes with every standard library, compiler and optimisation level.
RNG_ADVICE = "use RandomStream of sim/core/rng.h"
BANNED = [
    (r"std::\w+_distribution\b", RNG_ADVICE),
    (r"std::(?:ranges::)?(?:shuffle|random_shuffle|sample)\b", RNG_ADVICE),
    (r"std::(?:random_device|default_random_engine)\b", RNG_ADVICE),
    (r"(?<![\w.>])s?rand\s*\(", RNG_ADVICE),
    (r"-ffast-math|-Ofast\b|-funsafe-math-optimizations|\bfast-math\b",
     "results must not depend on the optimisation level"),
]
MACHINE_PATH = re.compile(r"(?<![\w.\-/])/(?:work|root|home|Users)(?![\w\-])[^\s\"'`),;]*")

MAX_LINES = 500
CODE_FOLDERS = ["sim", "models", "traces", "calibration", "kernels", "tests"]
CODE_SUFFIXES = {".h", ".cc", ".cuh", ".cu"}
HEADER_SUFFIXES = {".h", ".cuh"}
ROOT_FILES = ["CMakeLists.txt", "CMakePresets.json", ".clang-format", ".clang-tidy", ".gitignore"]
TEXT_FOLDERS = CODE_FOLDERS + ["configs", "docs", "results", "scripts", ".ci"]
TEXT_SUFFIXES = CODE_SUFFIXES | {"", ".py", ".md", ".txt", ".cmake", ".yaml", ".yml", ".json",
                                 ".jsonl", ".csv", ".expected"}

INCLUDE = re.compile(r"\s*#\s*include\s*[<\"]([^>\"]+)[>\"]")
COMMENT_OR_STRING = re.compile(
    r"(?P<comment>//[^\n]*|/\*.*?\*/)"
    r"|R\"(?P<tag>[^()\s\\]*)\(.*?\)(?P=tag)\""
    r"|\"(?:\\.|[^\"\\\n])*\""
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",  # not the digit separator
    re.DOTALL)


def allowed_folders():
    """Returns {folder: the set of folders that it may include}."""
    allowed = {folder: others | {folder} for folder, others in KERNELS.items()}
    lower = set()
    for layer in LAYERS:
        for folder in layer:
            allowed[folder] = {folder} | {x for x in lower if (folder, x) not in FORBIDDEN}
        lower.update(layer)
    allowed["sim/live"].add("kernels")
    allowed["sim/cli"].update(KERNELS)
    return allowed


ALLOWED = allowed_folders()


def folder_of(path):
    """Returns the innermost folder of the table that holds `path`, or None."""
    for parent in pathlib.PurePosixPath(path).parents:
        if str(parent) in ALLOWED:
            return str(parent)
    return None


def split_lines(text):
    return text.removesuffix("\n").split("\n")


def without_comments(text):
    """Returns C++ text with its comments blanked and its lines kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match[0]) if match["comment"] else match[0]
    return COMMENT_OR_STRING.sub(blank, text)


def library_problem(path, header):
    """Returns why `path` may not include the non-project `header`, or None."""
    if STANDARD.fullmatch(header) or SYSTEM.fullmatch(header):
        return None
    for name, headers, homes in LIBRARIES:
        if not re.match(headers, header):
            continue
        if any(fnmatch.fnmatchcase(path, home) for home in homes):
            return None
        home = ", ".join(homes) or "tests"
        return f"{path} may not include {header}; the home of {name} is {home}"
    return f"{path} may not include {header}; scripts/check_includes.py gives it no home"


def include_problem(path, header):
    """Returns why `path` may not include `header`, or None."""
    if header.split("/")[0] not in CODE_FOLDERS:
        return library_problem(path, header)
    folder, other = folder_of(path), folder_of(header)
    if folder is None or other in ALLOWED[folder] or header in EXCEPTIONS.get(path, ()):
        return None
    accepted = ", ".join(sorted(ALLOWED[folder]))
    return f"{folder} may not include {header}; it may include: {accepted}"


def check_code(path, text):
    """Yields (line, problem) for one C++ or CUDA file."""
    in_tests = path.startswith("tests/")
    if not in_tests and folder_of(path) is None:
        folder = path.rpartition("/")[0]
        yield 1, f"{folder} has no layer in scripts/check_includes.py"
    lines = split_lines(without_comments(text))
    for number, line in enumerate(lines, 1):
        if match := INCLUDE.match(line):
            header = match[1]
            parts = header.split("/")
            own_kind = pathlib.PurePosixPath(header).suffix in CODE_SUFFIXES
            if "." in parts or ".." in parts:
                yield number, f"relative include {header}; write it from the root"
            elif '"' in line and own_kind and parts[0] not in CODE_FOLDERS:
                yield number, (f"relative include {header}; write it from the root, "
                               f"or as <{header}> if it is a library's")
            elif not in_tests and (problem := include_problem(path, header)):
                yield number, problem
        yield from ((number, problem) for problem in banned_names(line))
    is_header = pathlib.PurePosixPath(path).suffix in HEADER_SUFFIXES
    if is_header and not any(re.fullmatch(r"\s*#\s*pragma once\s*", line) for line in lines):
        yield 1, "header without #pragma once"
    if len(lines) > MAX_LINES:
        yield len(lines), f"{len(lines)} lines; split it, the limit is {MAX_LINES}"


def banned_names(line):
    for pattern, advice in BANNED:
        for match in re.finditer(pattern, line):
            yield f"{match[0].rstrip('( ')} is banned; {advice}"


def check_build_file(text):
    for number, line in enumerate(split_lines(text), 1):
        yield from ((number, problem) for problem in banned_names(line.partition("#")[0]))


def check_machine_paths(text):
    for number, line in enumerate(split_lines(text), 1):
        if match := MACHINE_PATH.search(line):
            yield number, f"{match[0]} is a path of one machine"


def text_files(root):
    """Returns the files of the project in a fixed order."""
    found = [root / name for name in ROOT_FILES if (root / name).is_file()]
    found.extend(root.glob("*.md"))
    for folder in TEXT_FOLDERS:
        found.extend(p for p in (root / folder).rglob("*") if p.is_file())
    return sorted(p for p in found if p.suffix in TEXT_SUFFIXES and "__pycache__" not in p.parts)


def find_problems(root):
    """Returns (number of code files, list of `file:line: problem`)."""
    num_code, messages = 0, []
    for file in text_files(root):
        path = file.relative_to(root).as_posix()
        text = file.read_text(encoding="utf-8", errors="replace")
        problems = list(check_machine_paths(text))
        if file.suffix in CODE_SUFFIXES and path.split("/")[0] in CODE_FOLDERS:
            num_code += 1
            problems += check_code(path, text)
        elif file.name in ("CMakeLists.txt", "CMakePresets.json") or file.suffix == ".cmake":
            problems += check_build_file(text)
        messages += [f"{path}:{line}: {problem}" for line, problem in sorted(problems)]
    return num_code, messages


def main(arguments):
    if len(arguments) > 1 or (arguments and arguments[0].startswith("-")):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    root = pathlib.Path(arguments[0] if arguments else __file__).resolve()
    if not arguments:
        root = root.parent.parent
    num_code, messages = find_problems(root) if root.is_dir() else (0, [])
    if num_code == 0:
        print(f"check_includes: no source file found below {root}", file=sys.stderr)
        return 2
    for message in messages:
        print(message)
    print(f"check_includes: {num_code} source files, {len(messages)} problems")
    return 1 if messages else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
