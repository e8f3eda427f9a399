#!/usr/bin/env python3
"""What a run writes: the contract of its files, and that equal inputs give equal bytes.

Usage: tests/e2e/results_test.py BINARY [unittest options]
"""
import csv
import json
import pathlib
import signal
import subprocess
import time

from harness import BINARY, RESULT_FILES, ROOT, SMALL, BinaryTest, main, small

LATENCIES = [f"{statistic}_{name}_ms" for name in ("ttft", "tpot", "itl", "e2el")
             for statistic in ("mean", "median", "std", "p99")]
# The keys that scripts rely on, in this order; what we added since stands behind them.
CONTRACT = ["completed", "failed", "duration", "total_input_tokens", "total_output_tokens",
            "request_throughput", "request_goodput", "output_throughput", "total_token_throughput",
            *LATENCIES, "system", "model", "hardware", "calibration", "fidelity", "seed",
            "saturated", "extrapolated", "scheduling_delay", "batch", "kv", "time_share",
            "iterations", "perf"]
NESTED = {
    "scheduling_delay": ["mean_s", "p95_s", "p99_s"],
    "batch": ["mean", "max"],
    "kv": ["block_bytes", "hbm_capacity_blocks", "hbm_peak_blocks", "dram_peak_bytes", "hit_rate",
           "block_loads", "block_loads_per_iteration", "h2d_bytes", "d2h_bytes", "evictions",
           "preemptions"],
    "time_share": ["compute", "attention", "load_stall", "save_stall", "idle", "host"],
    "perf": ["wall_s", "events", "block_touches"],
}
ALL_SYSTEMS = "systems=[vllm, vllm-s, vllm-so, vllm-so-ft, vllm-so-ft-wc, sparseserve]"
# So little HBM that blocks are evicted and loaded: what the order of ties could change.
TIGHT = small("mean: 1500", "mean: 8000").replace("2/s", "4/s") + "memory: {kv_pool: 2GB}\n"
README = (ROOT / "sim/report/README.md").read_text()


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


class SchemaTest(BinaryTest):
    def test_summary_has_the_keys_of_the_contract_in_order(self):
        self.simulate("--set", ALL_SYSTEMS)
        for system in ALL_SYSTEMS[len("systems=["):-1].split(", "):
            summary = self.summary(f"out/{system}")
            self.assertEqual(list(summary)[:len(CONTRACT)], CONTRACT)
            for key in summary:
                if key not in LATENCIES:
                    self.assertTrue(f"`{key}`" in README or f"`{key}." in README, key)
            for key, keys in NESTED.items():
                self.assertEqual(list(summary[key]), keys)
            self.assertEqual(summary["system"], system)
            self.assertAlmostEqual(sum(summary["time_share"].values()), 1, places=9)

    def test_the_files_of_a_run_agree(self):
        self.simulate()
        summary = self.summary()
        names = {path.name for path in (self.here / "out/sparseserve").iterdir()}
        self.assertEqual(names, RESULT_FILES)
        requests = rows(self.here / "out/sparseserve/requests.csv")
        iterations = rows(self.here / "out/sparseserve/iterations.csv")
        self.assertEqual((summary["completed"], summary["failed"], len(requests)), (20, 0, 20))
        self.assertEqual(summary["total_input_tokens"], 20 * 1500)
        self.assertEqual(summary["total_output_tokens"], 20 * 20)
        self.assertEqual(summary["iterations"], len(iterations))
        mean = sum(float(row["ttft_ms"]) for row in requests) / 20
        self.assertAlmostEqual(summary["mean_ttft_ms"], mean, places=5)
        parts = [key for key in requests[0] if key.startswith("ttft_") and key != "ttft_ms"]
        for row in requests:
            self.assertAlmostEqual(sum(float(row[key]) for key in parts), float(row["ttft_ms"]),
                                   places=6)
        for latency in ("ttft", "itl"):
            breakdown = summary[f"{latency}_breakdown_ms"]
            mean = summary[f"mean_{latency}_ms"]
            self.assertAlmostEqual(sum(breakdown.values()) / mean, 1, places=6)
        for bound in ("iteration_bound", "batch_bound"):
            counts = sum(share["iterations"] for share in summary[bound].values())
            self.assertEqual(counts, len(iterations))
        loads = sum(int(row["block_loads"]) for row in iterations)
        touches = sum(int(row["block_touches"]) for row in iterations)
        self.assertEqual(summary["kv"]["block_loads"], loads)
        self.assertAlmostEqual(summary["kv"]["hit_rate"], 1 - loads / touches, places=12)

    def test_json_is_the_summary_files(self):
        result = self.simulate("--json", "-", "--set", "systems=[vllm, sparseserve]")
        self.assertEqual(json.loads(result.stdout),
                         [self.summary("out/vllm"), self.summary("out/sparseserve")])

    def test_timeline_is_written_on_demand_and_removed_by_the_next_run(self):
        self.simulate("--timeline", "--timeline-window", "0s:5s")
        timeline = json.loads((self.here / "out/sparseserve/timeline.json").read_text())
        slices = [event for event in timeline["traceEvents"] if event["ph"] == "X"]
        self.assertGreater(len(slices), 1000)
        self.assertLess(max(event["ts"] for event in slices), 5e6)  # us
        self.simulate()
        self.assertFalse((self.here / "out/sparseserve/timeline.json").exists())

    def test_without_out_results_go_to_the_name_of_the_experiment(self):
        self.write("e.yaml", small("name: small", "name: my-run"))
        result = self.run_binary("simulate", "e.yaml", "--data", ROOT)
        self.assertEqual(result.stderr, "results in out/my-run\n")
        self.assertTrue((self.here / "out/my-run/sparseserve/summary.json").exists())


class DeterminismTest(BinaryTest):
    def test_two_runs_are_equal(self):
        self.write("e.yaml", TIGHT)
        self.simulate("--timeline", out="a")
        self.simulate("--timeline", out="b")
        self.assertEqual(self.results("a"), self.results("b"))
        self.assertGreater(self.summary("a/sparseserve")["kv"]["evictions"], 0)

    def test_the_number_of_threads_changes_nothing(self):
        outputs = set()
        for threads in (1, 2, 6):
            result = self.simulate("--set", ALL_SYSTEMS, "--threads", threads, out=f"t{threads}")
            outputs.add(result.stdout)
            self.assertEqual(self.results(f"t{threads}"), self.results("t1"))
        self.assertEqual(len(outputs), 1)

    def test_the_working_directory_changes_nothing(self):
        self.write("e.yaml", SMALL)
        arguments = ["simulate", self.here / "e.yaml", "--data", ROOT, "--out"]
        for folder in (self.here, ROOT, pathlib.Path("/")):
            result = self.run_binary(*arguments, self.here / f"cwd{len(str(folder))}", cwd=folder)
            self.assertEqual(result.returncode, 0, result.stderr)
        first, *others = self.here.glob("cwd*")
        self.assertEqual(len(others), 2)
        for other in others:
            self.assertEqual(self.results(first), self.results(other))

    def test_another_seed_gives_another_run(self):
        self.simulate(out="a")
        self.simulate("--seed", 2, out="b")
        self.assertNotEqual(self.results("a")["sparseserve/requests.csv"],
                            self.results("b")["sparseserve/requests.csv"])
        self.simulate("--set", "seed=2", out="c")
        self.assertEqual(self.results("b"), self.results("c"))

    def test_the_resolved_configuration_gives_the_same_run(self):
        self.write("sub/t.csv", "arrival_s,prompt_tokens,output_tokens\n0,900,9\n0.5,4000,30\n")
        self.write("sub/mine.yaml", (ROOT / "configs/systems/vllm-so.yaml").read_text()
                   .replace("name: vllm-so", "name: my-so"))
        self.write("sub/m.json", (ROOT / "models/llm/configs/lwm-7b.json").read_text())
        text = SMALL[:SMALL.index("workload:")].replace("[sparseserve]", "[./mine.yaml, vllm]")
        text += "workload: {source: trace, path: t.csv}\nselection: {policy: quest}\n"
        self.write("sub/e.yaml", text.replace("llama3-8b-262k", "m.json"))
        result = self.run_binary("simulate", "sub/e.yaml", "--data", ROOT, "--out", "a")
        self.assertEqual(result.returncode, 0, result.stderr)
        for system in ("my-so", "vllm"):
            config = self.here / "a" / system / "config.resolved.yaml"
            result = self.run_binary("simulate", config, "--data", ROOT, "--out", self.here / "b",
                                     cwd="/")
            self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.results("a"), self.results("b"))


class ReplayTest(BinaryTest):
    def test_a_recorded_selection_replays_to_the_same_run(self):
        self.write("e.yaml", TIGHT)
        self.simulate("--record-selection", "s.sel", out="a")
        self.simulate("--set", "locality.trace=s.sel", out="b")
        a, b = self.results("a"), self.results("b")
        self.assertGreater(self.summary("a/sparseserve")["kv"]["evictions"], 0)
        self.assertEqual(a["sparseserve/iterations.csv"], b["sparseserve/iterations.csv"])
        self.assertEqual(a["sparseserve/requests.csv"], b["sparseserve/requests.csv"])

    def test_recording_changes_the_run_only_by_the_order_of_ties(self):
        self.write("e.yaml", TIGHT)
        self.simulate(out="a")
        self.simulate("--record-selection", "s.sel", out="b")
        a, b = self.summary("a/sparseserve"), self.summary("b/sparseserve")
        self.assertEqual(a["total_output_tokens"], b["total_output_tokens"])
        self.assertAlmostEqual(a["kv"]["hit_rate"], b["kv"]["hit_rate"], delta=0.002)


class InterruptionTest(BinaryTest):
    def test_a_failed_run_leaves_the_results_of_the_last_one(self):
        self.simulate()
        before = self.results("out")
        for bad in ("workload.rate=fast", "workload.prompt.mean=900000000", "locality.trace=e.yaml"):
            result = self.run_binary("simulate", "e.yaml", "--data", ROOT, "--out", "out",
                                     "--set", bad)
            self.assertEqual(result.returncode, 2, bad)
            self.assertEqual(self.results("out"), before, bad)

    def test_a_killed_run_leaves_the_results_of_the_last_one(self):
        self.simulate()
        before = self.results("out")
        for delay_s in (0.02, 0.1, 0.3):
            process = subprocess.Popen(
                [BINARY, "simulate", "e.yaml", "--data", ROOT, "--out", "out", "--set",
                 "workload.num_requests=100000"], cwd=self.here, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL)
            time.sleep(delay_s)
            process.send_signal(signal.SIGKILL)
            self.assertEqual(process.wait(), -signal.SIGKILL, "it was still running")
            after = self.results("out")
            kept = {name: text for name, text in after.items() if ".tmp." not in name}
            self.assertEqual(kept, before)
        self.simulate()
        self.assertEqual(set(self.results("out")) & set(before), set(before))


if __name__ == "__main__":
    main()
