#!/usr/bin/env python3
"""`sparseserve live` from outside: its files, equal loads under replay, what it refuses.

Usage: tests/e2e/live_test.py BINARY [unittest options]
"""
import collections
import csv
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

from harness import BINARY, PATIENCE, RESULT_FILES, ROOT, BinaryTest, main

# A sixteenth of small-live, so that a sanitizer serves it in seconds.
MODEL = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 128,
         "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "intermediate_size": 352, "vocab_size": 512,
         "max_position_embeddings": 8192, "torch_dtype": "bfloat16"}
EXPERIMENT = """\
name: tiny
systems: [vllm-s, vllm-so-ft, sparseserve]
model: ./model.json
hardware:
  machine: cpu-2core
workload:
  source: synthetic
  prompt: {kind: uniform, min: 100, max: 400}
  output: {kind: uniform, min: 4, max: 12}
  rate: 50/s
  num_requests: 6
selection:
  block_tokens: 16
  budget_tokens: 96
scheduler:
  max_requests: 4
  max_batch_tokens: 128
memory:
  kv_pool: 1536KiB
  dram: 8MiB
"""


class LiveTest(BinaryTest):
    def setUp(self):
        super().setUp()
        self.write("model.json", json.dumps(MODEL))

    def live(self, *options):
        self.write("e.yaml", EXPERIMENT)
        draws = [] if "--draws" in options else ["--draws", "2"]
        return self.run_binary("live", "e.yaml", "--data", ROOT, "--out", "out", "--fast", *draws, *options)

    def test_leaves_measured_replayed_and_predicted(self):
        result = self.live()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("measured (A) and replayed (B)", result.stdout)
        for system in ("vllm-s", "vllm-so-ft", "sparseserve"):
            names = ["measured", "predicted"] + (["replayed"] if system != "vllm-s" else [])
            speed = json.loads((self.here / "out" / system / "speed.json").read_text())
            self.assertGreater(speed["before"]["mean_s"], 0)
            self.assertGreater(speed["before"]["samples"], 0)
            if speed["factor"]:
                self.assertGreater(speed["factor"], 0)
                names += [name + "_at_speed" for name in names[1:]]
            self.assertEqual({path.name for path in (self.here / "out" / system).iterdir()},
                             {*names, "speed.json"})
            for name in names:
                directory = self.here / "out" / system / name
                present = {path.name for path in directory.iterdir() if path.is_file()}
                beside = ({"selection.trace"} if system != "vllm-s" else set()) \
                    if name == "measured" else {"compare.json", "compare.csv", "compare.md"}
                self.assertEqual(present, RESULT_FILES | beside, directory)
                summary = self.summary(f"out/{system}/{name}")
                self.assertEqual(summary["completed"], 6, directory)
                self.assertEqual(summary["fidelity"] == "measured", name == "measured")
        for system in ("vllm-so-ft", "sparseserve"):
            measured = self.summary(f"out/{system}/measured")
            replayed = self.summary(f"out/{system}/replayed")
            for key in ("block_loads", "h2d_bytes", "d2h_bytes", "hit_rate"):
                self.assertEqual(measured["kv"][key], replayed["kv"][key], key)
            self.assertEqual(measured["iterations"], replayed["iterations"])
        self.assertGreater(self.summary("out/sparseserve/measured")["kv"]["block_loads"], 0)

    def check_lanes(self, directory):
        """The lanes of the timeline are busy for as long as the summary says."""
        trace = json.loads((self.here / directory / "timeline.json").read_text())
        busy = collections.Counter()
        for event in trace["traceEvents"]:
            if event["ph"] == "X":
                busy[event["tid"]] += event["dur"] * 1e-6
        summary = self.summary(directory)
        share, duration, lanes = summary["time_share"], summary["duration"], summary["lane_busy"]
        compute = sum(share[part] for part in ("compute", "attention", "load_stall", "save_stall"))
        expected = [share["host"] * duration, compute * duration, lanes["h2d_s"], lanes["d2h_s"]]
        for lane, seconds in enumerate(expected):
            self.assertAlmostEqual(busy[lane], seconds, delta=2e-5, msg=f"{directory}, lane {lane}")
        phases = {event["name"] for event in trace["traceEvents"] if event["ph"] == "b"}
        self.assertLessEqual({"request 0", "prefill", "decode"}, phases)

    def test_the_parts_of_an_iteration_add_up(self):
        self.live("--set", "systems=[sparseserve]", "--timeline", "--timeline-window", "0s:10000s")
        self.check_lanes("out/sparseserve/measured")
        self.check_lanes("out/sparseserve/predicted")
        with open(self.here / "out/sparseserve/measured/iterations.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        parts = ("compute_s", "attention_s", "load_stall_s", "save_stall_s", "host_s")
        for row in rows:
            length = float(row["end_s"]) - float(row["begin_s"])
            self.assertAlmostEqual(sum(float(row[part]) for part in parts), length, delta=2e-6)

    def test_a_measured_run_is_explained_by_its_own_times(self):
        self.live("--set", "systems=[sparseserve]")
        directory = "out/sparseserve/measured"
        summary = self.summary(directory)
        for latency in ("ttft", "itl"):
            parts = sum(summary[f"{latency}_breakdown_ms"].values())
            self.assertAlmostEqual(parts / summary[f"mean_{latency}_ms"], 1, places=6)
        result = self.run_binary("explain", directory, "--data", ROOT, "--seeds", "1", "--json", "-")
        self.assertEqual(result.returncode, 0, result.stderr)
        found = json.loads(result.stdout)
        self.assertEqual(found["fidelity"], "measured")
        self.assertIsNone(found["reproduced"])
        self.assertEqual(found["itl_breakdown_ms"], summary["itl_breakdown_ms"])
        self.assertGreater(len(found["what_if"]["rows"]), 0)
        # A prediction, whatever the machine's speed, is repeated with its fitted locality.
        for path in (self.here / "out/sparseserve").glob("predicted*"):
            result = self.run_binary("explain", path, "--data", ROOT, "--what-if", "none", "--json", "-")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertTrue(json.loads(result.stdout)["reproduced"], path)

    def test_says_in_one_line_what_it_cannot_run(self):
        for options, message in [
                (["--backend", "tpu"], "--backend: backend 'tpu' is unknown (known: cpu, cuda)"),
                (["--set", "memory.dram=10TB"], "KV in DRAM "),
                (["--set", "fidelity.mode=sampled"], "a live run serves every lane"),
                (["--set", "hardware.link_scale=2"], "a live run has the link that there is"),
                (["--set", "hardware.time_scale=2"], "a live run takes the time that it takes"),
                (["--set", "selection.reuse_interval=2"], "a choice kept for several steps"),
                (["--set", "selection.granularity=layer"], "one choice for all heads of a layer")]:
            result = self.live(*options)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(message, result.stderr)
            self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
            self.assertFalse((self.here / "out/sparseserve/measured/summary.json").exists())

    def test_systems_are_served_in_turn_and_ranked(self):
        result = self.live("--repeat", "2", "--set", "systems=[vllm-s, sparseserve]",
                           "--set", "workload.num_requests=3")
        self.assertEqual(result.returncode, 0, result.stderr)
        order = [line[3:] for line in result.stdout.splitlines() if line.startswith("## ")]
        self.assertEqual(order, ["vllm-s", "sparseserve"] * 2)
        for round_ in ("round-1", "round-2"):
            self.assertEqual({p.name for p in (self.here / "out" / round_).iterdir()},
                             {"vllm-s", "sparseserve"})
        made = subprocess.run([sys.executable, ROOT / "scripts" / "live_results", "out"],
                              cwd=self.here, capture_output=True, text=True, timeout=60 * PATIENCE)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertIn("of 1 pairs", made.stdout)
        self.assertIn("equal under replay in 2 of 2 runs", made.stdout)

    def test_rounds_with_several_seeds_serve_other_requests(self):
        result = self.live("--seeds", "2", "--repeat", "2", "--seed", "5", "--draws", "1", "--set", "systems=[sparseserve]",
                           "--set", "workload.num_requests=3")
        self.assertEqual(result.returncode, 0, result.stderr)
        loads, seeds = [], []
        for round_ in range(1, 5):
            directory = f"out/round-{round_}/sparseserve/measured"
            loads.append(self.summary(directory)["kv"]["block_loads"])
            text = (self.here / directory / "config.resolved.yaml").read_text(encoding="utf-8")
            seeds.append(re.search(r"(?m)^seed: (\d+)$", text)[1])
        self.assertEqual(seeds, ["5", "6", "5", "6"])
        self.assertEqual(loads[:2], loads[2:])
        self.assertNotEqual(loads[0], loads[1])
        made = subprocess.run([sys.executable, ROOT / "scripts" / "live_results", "out"],
                              cwd=self.here, capture_output=True, text=True, timeout=60 * PATIENCE)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertRegex(made.stdout, r"\| hit rate, points \| 1 \(1\) \| [-+][0-9.]+ ± [0-9.]+")

    def test_a_selecting_system_is_predicted_with_several_draws(self):
        result = self.live("--draws", "3", "--set", "systems=[vllm, sparseserve]")
        self.assertEqual(result.returncode, 0, result.stderr)
        predicted = self.here / "out/sparseserve/predicted"
        self.assertEqual({path.name for path in predicted.iterdir() if path.is_dir()},
                         {"draw-1", "draw-2"})
        self.assertEqual(list((self.here / "out/vllm/predicted").glob("draw-*")), [])
        draws = [self.here / "out/sparseserve/predicted", predicted / "draw-1", predicted / "draw-2"]
        selections = {self.summary(path.relative_to(self.here))["kv"]["block_loads"] for path in draws}
        self.assertEqual(len(selections), 3)
        self.assertIn("over 3 draws of the locality", result.stdout)
        explained = self.run_binary("explain", draws[1], "--data", ROOT, "--what-if", "none", "--json", "-")
        self.assertTrue(json.loads(explained.stdout)["reproduced"], explained.stderr)
        made = subprocess.run([sys.executable, ROOT / "scripts" / "live_results", "out"],
                              cwd=self.here, capture_output=True, text=True, timeout=60 * PATIENCE)
        self.assertRegex(made.stdout, r"predicted hit rate over draws \| - \| .* \(3\) \|")

    def check_killed(self, signal_):
        """A run that is killed while it serves leaves nothing under the name of a result."""
        self.write("e.yaml", EXPERIMENT)
        shared = set(pathlib.Path("/dev/shm").glob("*"))
        process = subprocess.Popen(
            [BINARY, "live", "e.yaml", "--data", ROOT, "--out", "out", "--fast",
             "--set", "systems=[sparseserve]", "--set", "workload.num_requests=100000"],
            cwd=self.here, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        measured = self.here / "out/sparseserve/measured"
        deadline = time.monotonic() + 30 * PATIENCE
        while not list(measured.glob("selection.trace.tmp.*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)  # some iterations
        self.assertIsNone(process.poll(), "it ended by itself")
        process.send_signal(signal_)
        self.assertEqual(process.wait(timeout=30 * PATIENCE), -signal_)
        left = [path for path in (self.here / "out").rglob("*") if path.is_file()]
        self.assertGreater(len(left), 0)
        for path in left:
            self.assertRegex(path.name, rf"\.tmp\.{process.pid}$")
        # Pinned memory of the CPU backend is the process's own, that of CUDA ends with it as well.
        self.assertEqual(set(pathlib.Path("/dev/shm").glob("*")) - shared, set())
        self.assertEqual(self.live("--set", "systems=[sparseserve]").returncode, 0)

    def test_a_killed_run_leaves_no_half_written_result(self):
        for signal_ in (signal.SIGKILL, signal.SIGINT):
            with self.subTest(signal_):
                self.check_killed(signal_)
                shutil.rmtree(self.here / "out")

    def test_a_record_of_another_device_is_told_in_one_line(self):
        directory = ROOT / "calibration" / "devices" / "cpu-2core.yaml"
        text = "\n".join(line for line in directory.read_text().splitlines()
                         if not line.startswith("digest:"))
        self.write("other.yaml", re.sub(r"(?m)^  device: .*$", '  device: "Another, 3 cores"', text))
        result = self.live("--set", "systems=[vllm-s]", "--set", "hardware.calibration=./other.yaml",
                           "--set", "workload.num_requests=1")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stderr, "warning: the record .* was measured on 'Another, 3 cores', this is '")

    def test_other_blocks_than_the_record_s_are_told_in_one_line(self):
        text = (ROOT / "calibration" / "devices" / "cpu-2core.yaml").read_text()
        text = re.sub(r"(?m)^digest:.*\n", "", text)
        text = re.sub(r"(?m)^  attention.block_tokens:\n(    .*\n)*", "", text)
        text = re.sub(r"(?m)^counts:\n", "counts:\n  attention.block_tokens: {value: 8, kind: assumed, "
                      "source: a test}\n", text)
        self.write("eights.yaml", text)
        options = ["--set", "hardware.calibration=./eights.yaml", "--set", "systems=[sparseserve]"]
        self.write("e.yaml", EXPERIMENT)
        told = "was measured with blocks of 8 tokens, selection.block_tokens is 16"
        for size, lines in ((16, 1), (8, 0)):
            result = self.run_binary("simulate", "e.yaml", "--data", ROOT, "--out", "out", *options,
                                     "--set", f"selection.block_tokens={size}")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(result.stderr.count(told), lines, result.stderr)

    def test_help_teaches(self):
        result = self.run_binary("live", "--help")
        self.assertEqual(result.returncode, 0)
        for word in ("measured/", "replayed/", "predicted/", "--backend", "examples"):
            self.assertIn(word, result.stdout)


if __name__ == "__main__":
    main()
