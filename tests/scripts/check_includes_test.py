"""Tests of scripts/check_includes.py: small trees with one fault each, and its message."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "check_includes.py"
sys.dont_write_bytecode = True
sys.path.insert(0, str(SCRIPT.parent))
import check_includes  # noqa: E402


def header(*lines):
    return "\n".join(["#pragma once", *lines, ""])


class TreeTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def problems(self, files):
        for path, text in files.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text)
        return check_includes.find_problems(self.root)[1]

    def expect_one(self, path, text, line, *parts):
        found = self.problems({path: text})
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith(f"{path}:{line}: "), found[0])
        for part in parts:
            self.assertIn(part, found[0])

    def expect_none(self, path, text):
        self.assertEqual(self.problems({path: text}), [])


class LayerTest(TreeTest):
    def test_names_line_folder_and_included_file(self):
        self.expect_one("sim/des/event_queue.h", header("", '#include "sim/kvcache/kv_cache.h"'), 3,
                        "sim/des may not include sim/kvcache/kv_cache.h",
                        "it may include: sim/core, sim/des")

    def test_every_pair_of_folders_obeys_the_table_of_the_style_guide(self):
        # Written out a second time, as the rank of each folder, so that a slip in LAYERS shows.
        rank = {"sim/core": 0, "sim/des": 1, "models/llm": 1, "models/hardware": 1,
                "calibration": 1, "traces": 1, "models/cost": 2, "models/selection": 2,
                "sim/kvcache": 3, "sim/metrics": 3, "sim/scheduler": 4, "sim/serving": 5,
                "sim/plan": 6, "sim/report": 7, "sim/config": 8, "sim/cli": 9}
        for user in rank:
            for used in rank:
                accepted = user == used or rank[used] < rank[user]
                if user in ("models/cost", "models/selection") and used == "sim/des":
                    accepted = False  # the models know no clock
                problem = check_includes.include_problem(f"{user}/a.cc", f"{used}/b.h")
                self.assertEqual(problem is None, accepted, f"{user} -> {used}: {problem}")

    def test_folders_of_one_layer_do_not_see_each_other(self):
        self.expect_one("sim/kvcache/a.cc", '#include "sim/metrics/b.h"\n', 1,
                        "sim/kvcache may not include sim/metrics/b.h")

    def test_nested_folder_has_the_rights_of_its_parent(self):
        self.expect_none("sim/kvcache/policies/lru.cc", '#include "sim/kvcache/kv_cache.h"\n')
        self.expect_one("sim/kvcache/policies/sieve.cc", '#include "sim/serving/a.h"\n', 1,
                        "sim/kvcache may not include sim/serving/a.h")

    def test_only_the_live_mode_sees_the_backend(self):
        include = '#include "kernels/backend.h"\n'
        self.expect_none("sim/live/live_executor.cc", include)
        self.expect_one("sim/serving/executor.h", "#pragma once\n" + include, 2,
                        "sim/serving may not include kernels/backend.h")

    def test_live_mode_sees_no_kernel_of_a_backend(self):
        self.expect_one("sim/live/live_executor.cc", '#include "kernels/cpu/decode.h"\n', 1,
                        "may not include kernels/cpu/decode.h")

    def test_kernels_see_core_and_only_the_bench_sees_calibration(self):
        self.expect_none("kernels/cpu/a.cc", '#include "kernels/a.h"\n#include "sim/core/a.h"\n')
        self.expect_none("kernels/bench/a.cc", '#include "calibration/record.h"\n')
        self.expect_one("kernels/cuda/a.cu", '#include "calibration/record.h"\n', 1,
                        "kernels/cuda may not include calibration/record.h")

    def test_twins_do_not_see_each_other(self):
        self.expect_one("kernels/cpu/a.cc", '#include "kernels/cuda/a.h"\n', 1,
                        "kernels/cpu may not include kernels/cuda/a.h")

    def test_angle_brackets_and_spaces_do_not_hide_an_include(self):
        self.expect_one("sim/core/a.cc", "  #  include <traces/request.h>\n", 1,
                        "sim/core may not include traces/request.h")

    def test_tests_include_anything_and_nobody_includes_tests(self):
        self.expect_none("tests/a_test.cc", '#include <gtest/gtest.h>\n#include "sim/cli/a.h"\n')
        self.expect_one("sim/cli/a.cc", '#include "tests/slow.h"\n', 1,
                        "sim/cli may not include tests/slow.h")

    def test_unknown_folder_is_reported(self):
        self.expect_one("sim/utils/a.cc", "int a;\n", 1, "sim/utils has no layer")

    def test_commented_include_does_not_count(self):
        self.expect_none("sim/core/a.cc", '/*\n#include "sim/cli/a.h"\n*/\n// #include "../a.h"\n')


class LibraryTest(TreeTest):
    def test_each_library_has_its_home(self):
        for used, home, stranger in [
            ("yaml-cpp/yaml.h", "sim/config/reader.cc", "sim/config/reader.h"),
            ("boost/program_options.hpp", "sim/cli/main.cc", "sim/config/a.cc"),
            ("boost/graph/adjacency_list.hpp", "models/hardware/topology.cc",
             "models/hardware/topology.h"),
            ("boost/graph/topological_sort.hpp", "sim/serving/task_graph.cc", "sim/scheduler/a.cc"),
            ("boost/random/gamma_distribution.hpp", "sim/core/rng.cc", "traces/generator.cc"),
            ("Eigen/Dense", "calibration/fit.cc", "calibration/fit.h"),
            ("simdjson.h", "traces/mooncake.cc", "sim/config/hf.cc"),
            ("nlohmann/json.hpp", "sim/report/summary.cc", "traces/mooncake.cc"),
            ("nlohmann/json.hpp", "sim/metrics/timeline_writer.cc", "sim/metrics/timeline.cc"),
            ("fmt/format.h", "sim/kvcache/a.cc", "sim/kvcache/a.h"),
            ("cuda_runtime.h", "kernels/cuda/stream.h", "kernels/backend.h"),
            ("benchmark/benchmark.h", "kernels/bench/a.cc", "kernels/cpu/a.cc"),
        ]:
            with self.subTest(library=used, home=home):
                self.assertIsNone(check_includes.include_problem(home, used))
                problem = check_includes.include_problem(stranger, used)
                self.assertIn(f"{stranger} may not include {used}; the home of ", problem)

    def test_test_libraries_stay_in_tests(self):
        self.expect_one("sim/core/a.cc", "#include <gtest/gtest.h>\n", 1,
                        "the home of GoogleTest is tests")

    def test_unknown_library_needs_a_home(self):
        self.expect_one("sim/plan/a.cc", "#include <leveldb/db.h>\n", 1,
                        "may not include leveldb/db.h; scripts/check_includes.py gives it no home")

    def test_standard_and_system_headers_are_free(self):
        self.expect_none("sim/core/a.cc", "#include <cstdint>\n#include <sys/mman.h>\n")


class FileTest(TreeTest):
    place = "/" + "home/someone/trace.csv"  # in two pieces: this file is checked as well

    def test_relative_includes(self):
        self.expect_one("sim/core/a.cc", '#include "../des/a.h"\n', 1,
                        "relative include ../des/a.h")
        self.expect_one("sim/core/a.cc", '#include "rng.h"\n', 1, "relative include rng.h")
        self.expect_one("sim/core/a.cc", '#include "sim/core/../des/a.h"\n', 1, "relative include")

    def test_header_needs_pragma_once(self):
        self.expect_one("sim/core/a.h", "int a;\n", 1, "header without #pragma once")
        self.expect_one("sim/core/a.h", "// #pragma once\n", 1, "header without #pragma once")
        self.expect_none("sim/core/a.h", header("int a;"))

    def test_limit_is_500_lines(self):
        self.expect_none("sim/core/a.cc", "\n" * 500)
        self.expect_one("sim/core/a.cc", "\n" * 501, 501, "501 lines; split it, the limit is 500")

    def test_banned_names(self):
        for code, name in [
            ("std::normal_distribution<double> d;", "std::normal_distribution"),
            ("std::uniform_int_distribution<> d;", "std::uniform_int_distribution"),
            ("std::shuffle(v.begin(), v.end(), g);", "std::shuffle"),
            ("std::ranges::shuffle(v, g);", "std::ranges::shuffle"),
            ("std::sample(a, b, c, 3, g);", "std::sample"),
            ("std::random_device d;", "std::random_device"),
            ("int i = std::rand();", "rand"),
            ("srand(1);", "srand"),
            ('#pragma GCC optimize("fast-math")', "fast-math"),
        ]:
            with self.subTest(code=code):
                self.expect_one("traces/a.cc", f"\n{code}\n", 2, f"{name} is banned; ")

    def test_names_that_only_look_banned(self):
        self.expect_none("traces/a.cc", "int operand(int);\nrng.rand();\n// never std::shuffle\n"
                         "boost::random::normal_distribution<double> d;\n")

    def test_text_that_looks_like_a_comment_hides_nothing(self):
        self.expect_one("traces/a.cc", "auto a = \"/*\"; auto b = '\"'; f(1'000, \"'/*\");\n"
                        "std::shuffle(a, b, c);  // */\n", 2, "std::shuffle is banned")

    def test_fast_math_in_build_files(self):
        self.expect_one("sim/core/CMakeLists.txt", "# no -ffast-math\nfoo(-ffast-math)\n", 2,
                        "-ffast-math is banned")

    def test_machine_paths_in_any_text(self):
        self.expect_one("calibration/devices/a.yaml", f"source: {self.place}\n", 1,
                        f"{self.place} is a path of one machine")

    def test_machine_paths_in_comments_and_strings(self):
        self.expect_one("sim/core/a.cc", f'// see {self.place}\n', 1, self.place)
        self.expect_one("sim/core/a.cc", f'Read("{self.place}");\n', 1, self.place)

    def test_machine_path_without_a_file(self):
        self.expect_one("README.md", "cd " + "/" + "root\n", 1, "is a path of one machine")

    def test_paths_that_exist_everywhere(self):
        self.expect_none("docs/a.md", "/usr/bin, $HOME/x, net.org/home/x, ./home/x, /workload\n")


class ProgramTest(TreeTest):
    def run_script(self, *arguments):
        return subprocess.run([sys.executable, "-B", str(SCRIPT), *map(str, arguments)],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def test_problems_give_status_1_and_a_count(self):
        self.problems({"sim/core/a.h": "int a;\n", "sim/core/b.cc": '#include "sim/des/a.h"\n'})
        result = self.run_script(self.root)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout.splitlines(), [
            "sim/core/a.h:1: header without #pragma once",
            "sim/core/b.cc:1: sim/core may not include sim/des/a.h; it may include: sim/core",
            "check_includes: 2 source files, 2 problems"])

    def test_clean_tree_gives_status_0(self):
        self.problems({"sim/core/a.h": header()})
        result = self.run_script(self.root)
        self.assertEqual((result.returncode, result.stdout),
                         (0, "check_includes: 1 source files, 0 problems\n"))

    def test_tree_without_sources_is_an_error(self):
        self.assertEqual(self.run_script(self.root).returncode, 2)
        self.assertEqual(self.run_script(self.root / "absent").returncode, 2)
        self.assertEqual(self.run_script("--unknown").returncode, 2)


if __name__ == "__main__":
    unittest.main()
