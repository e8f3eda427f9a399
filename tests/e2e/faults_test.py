#!/usr/bin/env python3
"""Faults of the machine: a full or broken disk at every call that writes, and death at any moment.

Usage: tests/e2e/faults_test.py BINARY FAIL_CALLS_LIBRARY [unittest options]
SPARSESERVE_KILL_TRIALS sets how often the program is killed at a random moment (scripts/trust: more).
"""
import errno
import os
import random
import re
import signal
import subprocess
import sys
import time

LIBRARY = os.path.abspath(sys.argv.pop(2)) if len(sys.argv) > 2 else None
from harness import BINARY, RESULT_FILES, ROOT, SMALL, BinaryTest, main  # noqa: E402

FILES = RESULT_FILES | {"timeline.json"}
# Two systems one after the other: the first is complete when the second fails.
ARGUMENTS = ["simulate", "e.yaml", "--data", ROOT, "--threads", "1", "--timeline", "--set",
             "systems=[vllm-s, sparseserve]", "--set", "workload.num_requests=4"]
TRIALS = int(os.environ.get("SPARSESERVE_KILL_TRIALS", "8"))


class FaultsTest(BinaryTest):
    def setUp(self):
        super().setUp()
        self.write("e.yaml", SMALL)
        result = self.run_faulty("good", SPARSESERVE_FAIL_COUNT=self.here / "count")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.good = self.contents("good")
        self.calls = int((self.here / "count").read_text())
        self.assertGreaterEqual(self.calls, 3 * len(FILES) * 2)  # each file written, synchronised and renamed

    def run_faulty(self, out, **environment):
        environment = {name: str(value) for name, value in environment.items()}
        return self.run_binary(*ARGUMENTS, "--out", out,
                               env={**os.environ, "LD_PRELOAD": LIBRARY, **environment})

    def contents(self, out):
        """{name: content} below `out`; without wall-clock figures and the names of directories."""
        return {name: re.sub(rb'"wall_s": [^,\n]*', b"", content)
                for name, content in self.results(out).items()} if (self.here / out).exists() else {}

    def check_whole(self, out, leftovers):
        """Every file under a final name is that of the good run, and no summary stands without its files."""
        found = self.contents(out)
        for name in list(found):
            if ".tmp." in name:
                self.assertTrue(leftovers, name)
                del found[name]
        for name, content in found.items():
            self.assertEqual(content, self.good[name], name)
        for system in ("vllm-s", "sparseserve"):
            if f"{system}/summary.json" in found:
                self.assertEqual({name for name in FILES if f"{system}/{name}" in found}, FILES)
        return found

    def check_rerun(self, out):
        result = self.run_faulty(out)
        self.assertEqual(result.returncode, 0, result.stderr)
        found = {name: content for name, content in self.contents(out).items() if ".tmp." not in name}
        self.assertEqual(found, self.good)

    def test_a_call_that_fails_is_one_line_exit_code_1_and_leaves_nothing_half_written(self):
        for code, text in ((errno.ENOSPC, "No space left on device"), (errno.EIO, "Input/output error")):
            for call in range(1, self.calls + 1):
                with self.subTest(error=text, call=call):
                    out = f"out{code}-{call}"
                    result = self.run_faulty(out, SPARSESERVE_FAIL_AT=call, SPARSESERVE_FAIL_ERRNO=code)
                    self.assertEqual(result.returncode, 1, result.stderr)
                    self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
                    self.assertIn(text, result.stderr)
                    self.assertIn(out, result.stderr)
                    found = self.check_whole(out, leftovers=False)
                    self.assertLess(len(found), len(self.good) + 1)
        self.check_rerun(f"out{errno.EIO}-{self.calls // 2}")

    def test_killed_at_any_call_nothing_is_half_written_and_a_rerun_is_the_same(self):
        for call in range(1, self.calls + 1, max(1, self.calls // max(TRIALS, 1))):
            with self.subTest(call=call):
                out = f"killed{call}"
                result = self.run_faulty(out, SPARSESERVE_FAIL_AT=call, SPARSESERVE_FAIL_ERRNO=0)
                self.assertEqual(result.returncode, -signal.SIGKILL)
                self.check_whole(out, leftovers=True)
                self.check_rerun(out)

    def test_killed_at_any_moment_nothing_is_half_written_and_a_rerun_is_the_same(self):
        began = time.monotonic()
        self.run_faulty("timed")
        duration = time.monotonic() - began
        seed = random.SystemRandom().randrange(1 << 32)
        chance = random.Random(seed)
        for trial in range(TRIALS):
            with self.subTest(seed=seed, trial=trial):
                out = f"moment{trial}"
                with subprocess.Popen([BINARY, *map(str, ARGUMENTS), "--out", out], cwd=self.here,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL) as process:
                    time.sleep(chance.uniform(0, duration))
                    process.kill()
                self.check_whole(out, leftovers=True)
                self.check_rerun(out)


if __name__ == "__main__":
    if LIBRARY is None:
        sys.exit(f"usage: {sys.argv[0]} BINARY FAIL_CALLS_LIBRARY [unittest options]")
    main()
