#!/usr/bin/env python3
"""sparseserve explain: reproduces the stored run, splits its time, tries changes.

Usage: tests/e2e/explain_test.py BINARY [unittest options]
"""
import json

from harness import ROOT, SMALL, BinaryTest, Case, main, small

# HBM for KV that the working sets exceed, so that changes matter.
TIGHT = ("--set", "memory.kv_pool=700MB")


class ExplainTest(BinaryTest):
    def explain(self, *arguments, code=0):
        result = self.run_binary("explain", *arguments)
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def explain_json(self, *arguments):
        return json.loads(self.explain(*arguments, "--json", "-").stdout)

    def test_the_parts_are_those_of_the_summary_and_sum_up(self):
        self.simulate(*TIGHT)
        found = self.explain_json("out/sparseserve", "--what-if", "none")
        summary = self.summary()
        self.assertIs(found["reproduced"], True)
        self.assertEqual(found["what_if"]["rows"], [])
        for key in ("ttft_breakdown_ms", "itl_breakdown_ms", "ttft_slowest_1pct",
                    "itl_slowest_1pct", "iteration_bound", "batch_bound"):
            self.assertEqual(found[key], summary[key], key)
        for latency in ("ttft", "itl"):
            slowest = found[f"{latency}_slowest_1pct"]
            self.assertAlmostEqual(sum(slowest["breakdown_ms"].values()), slowest["mean_ms"])
            self.assertGreaterEqual(slowest["mean_ms"], slowest["from_ms"])
            self.assertGreaterEqual(slowest["mean_ms"] * 1.01, summary[f"p99_{latency}_ms"])

    def test_the_text_begins_with_the_conclusion(self):
        self.simulate(*TIGHT)
        result = self.explain("out/sparseserve", "--seeds", "2")
        lines = result.stdout.splitlines()
        self.assertEqual(result.stderr, "")
        self.assertEqual(lines[0], "sparseserve: llama3-8b-262k on h100-sxm-pcie5, "
                                   "figures reproduced")
        self.assertRegex(lines[2], "^(Requests wait for|First tokens take)")
        for text in ("where the time went", "what bound the iterations",
                     "what kept the batch from holding more", "+1 GB of HBM for KV",
                     "+1 GB/s of host link", "w = 13", "-1.0 ms of host overhead", "2 seeds"):
            self.assertIn(text, result.stdout)

    def test_what_ifs_are_the_same_on_any_number_of_threads_and_leave_no_file(self):
        self.simulate(*TIGHT)
        before = self.results(".")
        runs = [self.explain("out/sparseserve", "--seeds", "2", "--json", "-", "--threads", threads)
                for threads in (1, 3)]
        self.assertEqual(runs[0].stdout, runs[1].stdout)
        self.assertEqual(self.results("."), before)
        rows = json.loads(runs[0].stdout)["what_if"]["rows"]
        host = next(row for row in rows if row["name"].startswith("-1.0 ms of host"))
        change = host["changes"]["mean_itl_ms"]
        self.assertLess(change["high"], 0)  # in every seed an iteration is 1 ms shorter
        self.assertTrue(change["beyond_spread"])
        names = [row["name"] for row in rows]
        self.assertEqual(len(names), len(set(names)))

    def test_what_if_rows_are_those_of_a_simulation_with_the_key_changed(self):
        self.simulate(*TIGHT)
        self.simulate(*TIGHT, "--set", "memory.working_set_window=13", out="w13")
        rows = self.explain_json("out/sparseserve", "--seeds", "1")["what_if"]
        row = next(row for row in rows["rows"] if row["name"] == "w = 13")
        base, other = self.summary(), self.summary("w13/sparseserve")
        for figure in ("mean_ttft_ms", "p99_ttft_ms", "mean_itl_ms", "p99_itl_ms",
                       "output_throughput"):
            self.assertEqual(rows["base"][figure], base[figure])
            self.assertAlmostEqual(row["changes"][figure]["change"], other[figure] - base[figure])
            self.assertIsNone(row["changes"][figure]["low"])  # one seed says nothing of the spread

    def test_a_trace_without_selections_is_alike_in_every_seed(self):
        self.write("t.csv", "arrival_s,prompt_tokens,output_tokens\n0,2000,20\n0.1,3000,20\n")
        self.write("e.yaml", SMALL[:SMALL.index("workload:")] +
                   "workload: {source: trace, path: t.csv}\n")
        self.simulate("--set", "systems=[vllm]")
        result = self.explain("out/vllm")
        self.assertIn("3 seeds, all alike", result.stdout)
        self.assertIn("with these requests", result.stdout)

    def test_goodput_is_compared_where_there_are_limits(self):
        self.write("e.yaml", SMALL + "slo: {ttft: 1s}\n")
        self.simulate()
        what_if = self.explain_json("out/sparseserve", "--seeds", "1")["what_if"]
        self.assertIn("request_goodput", what_if["base"])

    def test_full_tries_eviction_policies_and_limits(self):
        self.write("e.yaml", small("num_requests: 20", "num_requests: 5"))
        self.simulate(*TIGHT)
        rows = self.explain_json("out/sparseserve", "--what-if", "full", "--seeds", "1")
        names = [row["name"] for row in rows["what_if"]["rows"]]
        for name in ("eviction sieve", "T_max = 4096", "R_max = 128"):
            self.assertIn(name, names)
        self.assertNotIn("eviction lru", names)

    def test_a_result_that_is_not_reproduced_is_said_to_be_so(self):
        self.simulate()
        path = self.here / "out/sparseserve/summary.json"
        path.write_text(path.read_text().replace('"evictions": ', '"evictions": 1'))
        result = self.explain("out/sparseserve", "--what-if", "none")
        self.assertTrue(result.stderr.startswith("warning: out/sparseserve holds other figures"))
        self.assertNotIn("reproduced", result.stdout.splitlines()[0])

    def test_set_changes_the_base(self):
        self.simulate(*TIGHT)
        result = self.explain("out/sparseserve", "--what-if", "none",
                              "--set", "scheduler.max_requests=1")
        self.assertIn("the limit of requests (R_max)", result.stdout)
        self.assertIn("changed by --set", result.stdout)

    def test_help_has_examples(self):
        self.assertIn("sparseserve explain out/longbench/sparseserve",
                      self.explain("--help").stdout)


class BadUsageTest(BinaryTest):
    def test_bad_usage_is_told_in_one_line(self):
        self.check([
            Case("no directory", ["explain"], "explain: no result is given; expected sparseserve"),
            Case("no such directory", ["explain", "none"], "none: holds no summary.json"),
            Case("torn summary", ["explain", "."], "./summary.json:", {"summary.json": "{"}),
            Case("no configuration", ["explain", "."],
                 "./config.resolved.yaml: cannot be read: No such file", {"summary.json": "{}"}),
            Case("unknown extent", ["explain", ".", "--what-if", "all"],
                 "--what-if: 'all' is not known; expected none, quick or full"),
            Case("no seeds", ["explain", ".", "--seeds", "0"], "--seeds: '0' is out of range"),
            Case("no threads", ["explain", ".", "--threads", "x"],
                 "--threads: 'x' is not an integer"),
            Case("json to a file", ["explain", ".", "--json", "x"],
                 "--json: 'x' is no destination"),
            Case("two systems",
                 ["explain", ".", "--data", ROOT, "--set", "systems=[vllm, sparseserve]"],
                 "systems: 2 systems; expected one",
                 {"summary.json": "{}", "config.resolved.yaml": SMALL}),
            Case("set of a measured run", ["explain", ".", "--data", ROOT, "--set", "seed=2"],
                 "--set: . was measured",
                 {"summary.json": '{"fidelity": "measured"}', "config.resolved.yaml": SMALL}),
            Case("measured without breakdowns", ["explain", ".", "--data", ROOT],
                 "./summary.json: schema: ",
                 {"summary.json": '{"fidelity": "measured"}', "config.resolved.yaml": SMALL}),
        ])

    def test_the_directory_above_names_a_run_below(self):
        self.simulate()
        result = self.run_binary("explain", "out")
        self.assertEqual(result.returncode, 2)
        self.assertIn("did you mean 'out/sparseserve'?", result.stderr)


if __name__ == "__main__":
    main()
