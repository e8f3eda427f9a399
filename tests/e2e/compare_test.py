#!/usr/bin/env python3
"""`sparseserve compare` from outside: what it prints and writes, its exit codes, bad results.

Usage: tests/e2e/compare_test.py BINARY [unittest options]
"""
import csv
import json
import os
import shutil

from harness import ROOT, BinaryTest, Case, main

FILES = {"compare.json", "compare.csv", "compare.md"}
BAD = "tests/input/compare/"


def vllm(**changes):
    """A vLLM benchmark JSON."""
    return json.dumps({"model_id": "org/Llama3-8B-262k", "num_prompts": 20, "duration": 12.0,
                       "completed": 20, "output_throughput": 30.0, "mean_ttft_ms": 100.0,
                       "mean_tpot_ms": 20.0, "request_rate": "inf", **changes})


RESULT = {"a.json": vllm()}
USAGE = [
    Case("nothing", ["compare"], "compare: two results are needed; expected sparseserve compare A"),
    Case("one result", ["compare", "a.json"], "compare: two results are needed", RESULT),
    Case("three results", ["compare", "a", "b", "c"], "compare: too many positional options"),
    Case("json into a file", ["compare", "a.json", "a.json", "--json", "x"],
         "--json: 'x' is no destination; expected -", RESULT),
    *[Case(f"tolerance {text}", ["compare", "a.json", "a.json", "--tolerance", text],
           f"--tolerance: '{text}' is no tolerance; expected a number from 0 to 100", RESULT)
      for text in ("10%", "nan", "-0.1", "inf", "1e9")],
    Case("empty tolerance", ["compare", "a.json", "a.json", "--tolerance="], "compare: "),
    Case("missing result", ["compare", "a.json", "b.json"], "b.json: no such file", RESULT),
    Case("empty folder", ["compare", "a.json", "."], ".: holds no summary.json", RESULT),
    Case("a device", ["compare", "a.json", "/dev/zero"], "/dev/zero: is no file", RESULT),
    Case("nothing to judge", ["compare", "a.json", "b.json"],
         "compare: no key metric is known to both a.json and b.json",
         {**RESULT, "b.json": '{"request_latency": {"unit": "ms", "avg": 3}}'}),
    Case("no room for the files", ["compare", "a.json", "a.json", "--out", "/proc/no"], "/proc/no",
         RESULT, code=1),
]


class BadInputTest(BinaryTest):
    def test_usage(self):
        self.check(USAGE)

    def test_each_bad_file_is_refused_on_either_side(self):
        good = self.write("good.json", vllm())
        names = sorted(path.name for path in (ROOT / BAD).iterdir() if path.name != "expected.tsv")
        self.assertGreater(len(names), 30)
        for name in names:
            for pair in ([BAD + name, good], [good, BAD + name]):
                result = self.run_binary("compare", *pair, cwd=ROOT)
                self.assertEqual((result.returncode, result.stdout), (2, ""), name)
                self.assertTrue(result.stderr.startswith(f"sparseserve: {BAD}{name}:"), name)
                self.assertEqual(result.stderr.count("\n"), 1, name)


class RunsTest(BinaryTest):
    def setUp(self):
        super().setUp()
        self.simulate(out="a")
        self.simulate("--set", "scheduler.max_batch_tokens=1024", out="b")
        self.a, self.b = "a/sparseserve", "b/sparseserve"

    def compare(self, *arguments, code=0):
        result = self.run_binary("compare", *arguments)
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def test_a_run_equals_itself(self):
        result = self.compare(self.a, self.a, "--tolerance", "0", "--json", "-")
        self.assertEqual(result.stderr, "")
        comparison = json.loads(result.stdout)
        known = [metric for metric in comparison["metrics"] if metric["a"] is not None]
        self.assertGreater(len(known), 30)
        for metric in known:
            self.assertTrue(metric["equal"], metric)
        self.assertEqual(comparison["gap"]["duration_points"], 0)

    def test_the_figures_are_those_of_the_files(self):
        comparison = json.loads(self.compare(self.a, self.b, "--tolerance", 100, "--json",
                                             "-").stdout)
        metrics = {metric["metric"]: metric for metric in comparison["metrics"]}
        for side, folder in (("a", self.a), ("b", self.b)):
            summary = self.summary(folder)
            for name in ("duration", "output_throughput", "mean_ttft_ms", "p99_itl_ms", "iterations"):
                self.assertEqual(metrics[name][side], summary[name], name)
            self.assertAlmostEqual(metrics["hit_rate"][side], 100 * summary["kv"]["hit_rate"])
            with open(self.here / folder / "iterations.csv", newline="") as file:
                rows = list(csv.DictReader(file))
            attention = sum(float(row["attention_s"]) for row in rows) / len(rows)
            self.assertAlmostEqual(metrics["mean_attention_ms"][side], 1e3 * attention, places=6)
        gap = comparison["gap"]
        self.assertAlmostEqual(sum(part["points"] for part in gap["contributions"]),
                               gap["busy_points"], places=6)
        a, b = (metrics["duration"][side] for side in "ab")
        self.assertAlmostEqual(gap["duration_points"], 100 * (b - a) / a, places=6)

    def test_files_are_written_and_a_run_in_the_same_folder_stays(self):
        before = self.results(self.a)
        result = self.compare(self.a, self.b, "--tolerance", 100, "--out", self.a)
        after = self.results(self.a)
        self.assertEqual({name: after[name] for name in before}, before)
        self.assertEqual(set(after) - set(before), FILES)
        with open(self.here / self.a / "compare.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(list(rows[0]), ["metric", "group", "unit", "a", "b", "error"])
        written = json.loads((self.here / self.a / "compare.json").read_text())
        self.assertEqual([row["metric"] for row in rows],
                         [metric["metric"] for metric in written["metrics"]])
        printed = self.compare(self.a, self.b, "--tolerance", 100, "--json", "-").stdout
        self.assertEqual(json.loads(printed), written)
        self.assertIn(written["gap"]["sentence"], result.stdout)
        self.assertIn("| TTFT mean | ms |", (self.here / self.a / "compare.md").read_text())

    def test_beyond_the_tolerance_the_exit_code_is_4_and_names_what(self):
        result = self.compare(self.a, self.b, "--tolerance", "1e-9", "--out", "c", code=4)
        self.assertRegex(result.stderr, "^sparseserve: beyond the tolerance of 1e-07 %: .*mean_ttft_ms")
        self.assertIn(" !\n", result.stdout)
        self.assertEqual({path.name for path in (self.here / "c").iterdir()}, FILES)

    def test_runs_that_should_not_be_compared_are_named(self):
        self.simulate("--seed", 2, "--set", "workload.num_requests=21", out="c")
        result = self.compare(self.a, "c/sparseserve", "--tolerance", 100)
        self.assertEqual(result.stderr,
                         "warning: A and B differ in seed (1, 2), number of requests (20, 21)\n")

    def test_a_benchmark_lacks_iterations(self):
        summary = self.summary(self.a)
        self.write("v.json", vllm(output_throughput=summary["output_throughput"],
                                  mean_ttft_ms=summary["mean_ttft_ms"],
                                  mean_tpot_ms=summary["mean_tpot_ms"] * 1.05))
        result = self.compare(self.a, "v.json")
        self.assertEqual(result.stderr, "")
        self.assertRegex(result.stdout, r"\n  TPOT mean .* \+5\.0 %\n")
        self.assertRegex(result.stdout, r"\n  duration median +ms +[\d.]+ +- +-\n")
        self.assertNotIn("gap, in %", result.stdout)
        self.compare("v.json", self.a, "--tolerance", "0.04", code=4)

    def test_a_torn_run_is_refused(self):
        shutil.copytree(self.here / self.a, self.here / "torn")
        path = self.here / "torn/iterations.csv"
        os.truncate(path, path.stat().st_size * 2 // 3)
        result = self.compare("torn", self.a, code=2)
        self.assertRegex(result.stderr, r"^sparseserve: torn/iterations\.csv:.*\n$")
        (self.here / "torn/iterations.csv").unlink()
        result = self.compare("torn", self.a, code=2)
        self.assertTrue(result.stderr.startswith("sparseserve: torn/iterations.csv: no such file"))

    def test_a_folder_of_runs_gives_a_hint(self):
        result = self.compare("a", self.b, code=2)
        self.assertTrue(result.stderr.endswith("did you mean 'a/sparseserve'?\n"), result.stderr)

    def test_help_defines_every_metric(self):
        text = self.compare("--help").stdout
        self.assertLessEqual(max(map(len, text.splitlines())), 100)
        comparison = json.loads(self.compare(self.a, self.a, "--json", "-").stdout)
        for metric in comparison["metrics"]:
            self.assertIn(f"  {metric['metric']} ", text)
            self.assertIn(metric["definition"], text)


if __name__ == "__main__":
    main()
