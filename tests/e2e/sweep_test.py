#!/usr/bin/env python3
"""Sweeps from outside: equal bytes however they are run, stopped, split or killed; refusals.

Usage: tests/e2e/sweep_test.py BINARY [unittest options]
"""
import contextlib
import csv
import io
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time

from harness import BINARY, PATIENCE, ROOT, SMALL, BinaryTest, Case, main

SWEEP = """\
name: tiny
experiment: e.yaml
set: {workload.num_requests: 8, warmup_requests: 2}
axes:
  - {key: workload.rate, values: [2/s, 8/s]}
  - name: cache
    zip:
      - {key: memory.kv_pool, values: [2GB, 1GB, 1MB]}
      - {key: memory.eviction, values: [lru, sieve, fifo]}
    labels: [large, small, none]
replications: 2
metrics: [output_throughput, mean_ttft_ms, kv.hit_rate]
"""
SYSTEMS = "systems: [vllm-s, vllm-so-ft, sparseserve]"
NUM_POINTS = 2 * 3 * 3 * 2


class SweepTest(BinaryTest):
    def setUp(self):
        super().setUp()
        self.write("e.yaml", SMALL.replace("systems: [sparseserve]", SYSTEMS))
        self.write("s.yaml", SWEEP)

    def sweep(self, out, *arguments, **more):
        result = self.run_binary("sweep", "s.yaml", "--data", ROOT, "--out", out, *arguments, **more)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def export(self, store):
        result = self.run_binary("sweep", "export", store)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout


class RunTest(SweepTest):
    def test_points_are_simulations(self):
        shown = self.sweep("a.sqlite").stdout
        rows = list(csv.DictReader(io.StringIO(self.export("a.sqlite"))))
        self.assertEqual(len(rows), NUM_POINTS)
        self.assertEqual(list(rows[0])[:7],
                         ["workload.rate", "cache", "system", "replication", "seed", "feasible", "note"])
        # Row-major, the systems and then the seeds last.
        self.assertEqual([(r["workload.rate"], r["cache"], r["system"], r["seed"]) for r in rows[:3]],
                         [("2/s", "large", "vllm-s", "1"), ("2/s", "large", "vllm-s", "2"),
                          ("2/s", "large", "vllm-so-ft", "1")])
        one = [r for r in rows if (r["workload.rate"], r["cache"], r["system"], r["seed"]) ==
               ("8/s", "small", "sparseserve", "2")]
        self.simulate("--set", "workload.num_requests=8", "--set", "warmup_requests=2",
                      "--set", "workload.rate=8/s", "--set", "memory.kv_pool=1GB",
                      "--set", "memory.eviction=sieve", "--seed", 2)
        summary = self.summary()
        for name in ("output_throughput", "mean_ttft_ms", "p99_itl_ms", "duration"):
            self.assertEqual(float(one[0][name]), summary[name], name)
        self.assertEqual(float(one[0]["kv.hit_rate"]), summary["kv"]["hit_rate"])
        # One MB holds no request: told, not hidden.
        none = [r for r in rows if r["cache"] == "none"]
        self.assertTrue(all(r["feasible"] == "0" and "can never be served" in r["note"] for r in none))
        self.assertIn("cannot run: vllm-s:", shown)
        self.assertIn("(base)", shown)

    def test_threads_and_shards_change_nothing(self):
        self.sweep("one.sqlite", "--threads", 1)
        expected = self.export("one.sqlite")
        self.sweep("two.sqlite", "--threads", 2)
        self.assertEqual(self.export("two.sqlite"), expected)
        parts = [f"part{i}.sqlite" for i in range(1, 6)]
        for i, part in enumerate(parts, 1):
            self.sweep(part, "--shard", f"{i}/5")
        result = self.run_binary("sweep", "merge", "all.sqlite", *parts)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stderr, f"{NUM_POINTS} of {NUM_POINTS} points in all.sqlite\n")
        self.assertEqual(self.export("all.sqlite"), expected)
        shows = {self.run_binary("sweep", "show", store).stdout for store in ("one.sqlite", "all.sqlite")}
        self.assertEqual(len(shows), 1)

    def test_a_second_run_computes_nothing_and_a_changed_one_only_what_is_new(self):
        self.sweep("a.sqlite")
        self.assertIn(f"0 of {NUM_POINTS} points to run", self.sweep("a.sqlite").stderr)
        self.write("s.yaml", SWEEP.replace("[2/s, 8/s]", "[8/s, 4/s]"))
        self.assertIn(f"{NUM_POINTS // 2} of {NUM_POINTS} points to run", self.sweep("a.sqlite").stderr)
        self.write("e.yaml", SMALL.replace("systems: [sparseserve]", SYSTEMS) + "seed: 9\n")
        self.assertIn(f"{NUM_POINTS} of {NUM_POINTS} points to run", self.sweep("a.sqlite").stderr)

    def test_a_changed_input_file_is_another_point(self):
        self.write("t.csv", "arrival_s,prompt_tokens,output_tokens\n0,900,9\n0.5,1000,30\n1,500,5\n")
        text = SMALL[:SMALL.index("workload:")] + "workload: {source: trace, path: t.csv}\n"
        self.write("e.yaml", text)
        self.write("s.yaml", "name: t\nexperiment: e.yaml\n")
        self.sweep("a.sqlite")
        before = self.export("a.sqlite")
        self.write("t.csv", "arrival_s,prompt_tokens,output_tokens\n0,900,9\n0.5,1000,31\n1,500,5\n")
        self.assertIn("1 of 1 points to run", self.sweep("a.sqlite").stderr)
        self.assertNotEqual(self.export("a.sqlite"), before)

    def test_a_slurm_array_is_its_parts(self):
        """The script with the variables that Slurm sets for each task of an array."""
        for task in range(1, 4):
            result = subprocess.run(
                [ROOT / "scripts/sweep.slurm", "s.yaml", "array", "--data", ROOT], cwd=self.here,
                capture_output=True, text=True, timeout=60 * PATIENCE, stdin=subprocess.DEVNULL,
                env={**os.environ, "SPARSESERVE": str(BINARY), "SLURM_ARRAY_TASK_ID": str(task),
                     "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_CPUS_PER_TASK": "2"})
            self.assertEqual(result.returncode, 0, result.stderr)
        parts = sorted(path.name for path in self.here.glob("array.part*.sqlite"))
        self.assertEqual(len(parts), 3)
        self.assertEqual(self.run_binary("sweep", "merge", "array.sqlite", *parts).returncode, 0)
        self.sweep("one.sqlite")
        self.assertEqual(self.export("array.sqlite"), self.export("one.sqlite"))

    def test_under_mpirun(self):
        mpirun = shutil.which("mpirun")
        if mpirun is None:
            self.skipTest("no mpirun here")
        symbols = subprocess.run(["ldd", BINARY], capture_output=True, text=True, check=True).stdout
        if "libmpi" not in symbols:
            self.skipTest("this build knows no MPI")
        self.sweep("one.sqlite")
        result = subprocess.run(
            [mpirun, "--allow-run-as-root", "--oversubscribe", "-n", "3", BINARY, "sweep", "s.yaml",
             "--data", ROOT, "--out", "mpi.sqlite"],
            cwd=self.here, capture_output=True, text=True, timeout=60 * PATIENCE, stdin=subprocess.DEVNULL,
            env={**os.environ, "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
                 # Open MPI itself leaks, which is no error of ours.
                 "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"})
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.export("mpi.sqlite"), self.export("one.sqlite"))


class InterruptionTest(SweepTest):
    def start(self, store):
        return subprocess.Popen([BINARY, "sweep", "s.yaml", "--data", ROOT, "--out", store],
                                cwd=self.here, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True)

    def test_killed_fifty_times_the_sweep_ends_as_if_undisturbed(self):
        self.sweep("undisturbed.sqlite")
        expected = self.export("undisturbed.sqlite")
        seed = 20261125
        draw = random.Random(seed)
        kills = 0
        for _ in range(400):  # the sweep is run over and over until it has been killed so often
            process = self.start("killed.sqlite")
            time.sleep(draw.uniform(0.005, 0.12))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += process.returncode == -signal.SIGKILL
            if kills >= 50:
                break
            if process.returncode == 0:  # it was done: begin anew, so that kills meet work
                self.assertEqual(self.export("killed.sqlite"), expected)
                (self.here / "killed.sqlite").unlink()
        self.assertGreaterEqual(kills, 50, f"seed {seed}")
        self.sweep("killed.sqlite")
        self.assertEqual(self.export("killed.sqlite"), expected)
        left = {path.name for path in self.here.iterdir()}
        self.assertEqual(left, {"e.yaml", "s.yaml", "undisturbed.sqlite", "killed.sqlite"})

    def num_results(self, store):
        """How many points are finished; 0 as long as there is no store to read."""
        if not (self.here / store).exists():
            return 0
        try:
            with contextlib.closing(sqlite3.connect(self.here / store, timeout=1)) as db:
                return db.execute("SELECT count(*) FROM result").fetchone()[0]
        except sqlite3.OperationalError:  # not made yet, or being written
            return 0

    def test_ctrl_c_keeps_what_is_finished_and_says_so(self):
        self.write("s.yaml", SWEEP.replace("workload.num_requests: 8", "workload.num_requests: 400"))
        process = self.start("a.sqlite")
        deadline = time.monotonic() + 20 * PATIENCE
        while not self.num_results("a.sqlite") and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20 * PATIENCE)
        self.assertEqual(process.returncode, 130, errors)
        self.assertIn("the same command goes on from there", errors)
        with sqlite3.connect(self.here / "a.sqlite") as db:
            self.assertEqual(db.execute("PRAGMA integrity_check").fetchone(), ("ok",))
            self.assertGreater(db.execute("SELECT count(*) FROM result").fetchone()[0], 0)


class RefusalTest(SweepTest):
    def refuse(self, message, *arguments):
        before = {path.name: path.read_bytes() for path in self.here.iterdir()}
        result = self.run_binary("sweep", *arguments)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertEqual(result.stdout, "")
        lines = [line for line in result.stderr.splitlines() if "points to run" not in line]
        self.assertEqual(len(lines), 1, result.stderr)
        self.assertIn(message, lines[0])
        self.assertEqual({path.name: path.read_bytes() for path in self.here.iterdir()}, before)

    def test_what_is_no_sound_store_is_left_alone(self):
        arguments = ["s.yaml", "--data", ROOT, "--out"]
        self.write("notes.txt", "these are my notes\n" * 50)
        self.refuse("notes.txt: no sound store", *arguments, "notes.txt")
        with sqlite3.connect(self.here / "other.sqlite") as db:
            db.execute("CREATE TABLE mine(x)")
        self.refuse("other.sqlite: is a database of another program", *arguments, "other.sqlite")
        self.sweep("a.sqlite")
        content = bytearray((self.here / "a.sqlite").read_bytes())
        content[len(content) // 2:len(content) // 2 + 5000] = b"\x55" * 5000
        self.write("damaged.sqlite", bytes(content))
        self.refuse("damaged.sqlite", *arguments, "damaged.sqlite")
        self.write("s.yaml", SWEEP.replace("name: tiny", "name: another"))
        self.refuse("holds the sweep 'tiny', not 'another'", *arguments, "a.sqlite")

    def test_parts_of_different_sweeps_are_not_merged(self):
        self.sweep("a.sqlite", "--shard", "1/40")
        self.sweep("b.sqlite", "--shard", "1/40", "--set", "seed=5")
        self.refuse("b.sqlite: holds another sweep than a.sqlite", "merge", "c.sqlite", "a.sqlite",
                    "b.sqlite")

    def test_bad_usage(self):
        for arguments, message in (
                ([], "no sweep is given"),
                (["s.yaml", "--data", ROOT], "no store is given"),
                (["s.yaml", "--data", ROOT, "--out", "x", "--shard", "3/2"], "--shard: '3'"),
                (["s.yaml", "--data", ROOT, "--out", "x", "--shard", "3"], "I/N"),
                (["s.yaml", "--data", ROOT, "--out", "x", "--set", "workload.rate=3/s"],
                 "--set workload.rate: the axis 'workload.rate' sets it"),
                (["s.yaml", "--data", ROOT, "--out", "x", "--set", "memory.eviction=lru"],
                 "--set memory.eviction: the axis 'cache' sets it"),
                (["shwo", "a.sqlite"], "did you mean 'show' by 'shwo'?"),
                (["show"], "no store is given"),
                (["show", "none.sqlite"], "none.sqlite: there is no such file"),
                (["export", "."], ".: is a directory"),
                (["merge", "x"], "no part is given")):
            with self.subTest(message):
                self.refuse(message, *arguments)
                (self.here / "x").unlink(missing_ok=True)
        self.sweep("a.sqlite", "--shard", "1/40")
        self.refuse("did you mean 'system'?", "show", "a.sqlite", "--contrast", "sytem")
        self.refuse("did you mean 'mean_ttft_ms'?", "show", "a.sqlite", "--metric", "mean_tttf_ms")
        self.refuse("'x' is no axis beside system", "show", "a.sqlite", "--map", "x,cache")

    def test_a_store_that_cannot_be_opened_is_told_with_the_reason(self):
        result = self.run_binary("sweep", "s.yaml", "--data", ROOT, "--out", "/proc/x.sqlite")
        self.assertEqual((result.returncode, result.stderr.splitlines()[-1]),
                         (1, "sparseserve: /proc/x.sqlite: No such file or directory"))

    def test_bad_files(self):
        def bad(old, new, message):
            return Case(message, ["sweep", "s.yaml", "--data", ROOT, "--out", "x"], message,
                        {"s.yaml": SWEEP.replace(old, new),
                         "e.yaml": SMALL.replace("systems: [sparseserve]", SYSTEMS)})
        self.check([
            bad("axes:", "axis:", "s.yaml:4: axis: unknown key"),
            bad("[2/s, 8/s]", "[2/s, fast]", "s.yaml:5: workload.rate: 'fast'"),
            bad("[2/s, 8/s]", "[2/s, 2/s]", "s.yaml:5: axes[0]: '2/s' is listed twice"),
            bad("[2/s, 8/s]", "8/s", "s.yaml:5: axes[0].values: no list of values"),
            bad("[lru, sieve, fifo]", "[lru, sieve]", "s.yaml:9: axes[1].zip[1].values: 2 values, but"),
            bad("[lru, sieve, fifo]", "[lru, sieve, fif]", "s.yaml:9: memory.eviction: 'fif' is not known"),
            bad("[large, small, none]", "[large]", "s.yaml:10: axes[1].labels: 1 labels for 3 values"),
            bad("memory.eviction", "memory.evicton", "s.yaml:9: memory.evicton: unknown key"),
            bad("key: workload.rate", "key: seed", "s.yaml:5: axes[0].key: 'seed' is no axis"),
            bad("replications: 2", "replications: 0", "s.yaml:11: replications: '0' is out of range"),
            bad("kv.hit_rate]", "kv.hitrate]", "s.yaml:12: metrics"),
            bad("warmup_requests: 2", "warmup_requests: 8",
                "s.yaml:3: warmup_requests: 8 of 8 requests leave nothing to measure"),
            bad("experiment: e.yaml", "experiment: none.yaml", "none.yaml: "),
        ])


if __name__ == "__main__":
    main()
