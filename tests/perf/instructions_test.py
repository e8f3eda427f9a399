#!/usr/bin/env python3
"""A run must not take more instructions than it did: callgrind's counts against instructions.json.

Usage: tests/perf/instructions_test.py BINARY COMPILER [--update]
Unlike times, counts are the same on a busy machine. They depend on compiler and options, so COMPILER
("GNU 12.2.0 -O3 ...") must be that of the file; if not, or without valgrind, the test skips (exit
code 77). --update writes the file; the commit that does so says why.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILE = pathlib.Path(__file__).with_name("instructions.json")
TOLERANCE = 0.05  # libc picks its copies by the CPU's features
SKIPPED = 77
OFFLOADED = ["configs/run/longbench.yaml", "--set", "systems=[sparseserve]"]
RUNS = {
    "dense, 200 requests": ["configs/run/mooncake.yaml", "--set", "systems=[vllm]"],
    "exact, 1 request": [*OFFLOADED, "--set", "workload.num_requests=1"],
    "sampled 1/64, 4 requests": [*OFFLOADED, "--set", "workload.num_requests=4", "--set",
                                 "fidelity.mode=sampled", "--set", "fidelity.share=0.015625"],
}


def count(binary, arguments):
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/callgrind", binary,
             "simulate", *arguments, "--threads", "1", "--out", f"{folder}/out"],
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    return int(re.search(r"Collected : (\d+)", result.stderr).group(1))


def main():
    binary, compiler = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    update = sys.argv[3:] == ["--update"]
    recorded = json.loads(FILE.read_text()) if FILE.exists() else {"compiler": None}
    if shutil.which("valgrind") is None:
        print("skipped: no valgrind")
        return SKIPPED
    if not update and recorded["compiler"] != compiler:
        print(f"skipped: counts of {recorded['compiler']}, not of {compiler}")
        return SKIPPED
    counts = {name: count(binary, arguments) for name, arguments in RUNS.items()}
    if update:
        FILE.write_text(json.dumps({"compiler": compiler, "instructions": counts}, indent=2) + "\n")
        return 0
    failed = False
    for name, found in counts.items():
        ratio = found / recorded["instructions"][name]
        verdict = "ok" if ratio <= 1 + TOLERANCE else "MORE than recorded"
        failed |= ratio > 1 + TOLERANCE
        if ratio < 1 - TOLERANCE:
            verdict = "fewer than recorded: run with --update to keep the gain"
        print(f"{name}: {found} instructions, {ratio:.3f} of the record: {verdict}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
