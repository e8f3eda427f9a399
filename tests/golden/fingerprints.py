#!/usr/bin/env python3
"""Fingerprints of results: one number for what a run did, so that no result changes unnoticed.

Usage: tests/golden/fingerprints.py BINARY [--threads N]
Runs the binary on every line of tests/golden/fingerprints.csv and compares; prints a line for each that
differs. Exit status: 0 none does, 1 some do. A change that is meant is recorded by
`scripts/update_golden.py --reason TEXT`, in the commit that makes it.

A fingerprint covers the columns below of requests.csv and iterations.csv of every system, and no others, so that
files may gain columns.
"""
import argparse
import csv
import hashlib
import pathlib
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TABLE = ROOT / "tests/golden/fingerprints.csv"
FIELDS = ["name", "experiment", "overrides", "fingerprint", "reason"]
REQUESTS = ["id", "replica", "arrival_s", "scheduled_s", "first_token_s", "finish_s", "prompt_tokens",
            "output_tokens", "preemptions"]
ITERATIONS = ["iteration", "replica", "begin_s", "end_s", "num_decodes", "num_prefills", "block_loads",
              "block_touches", "h2d_bytes", "d2h_bytes", "hbm_used_bytes", "dram_used_bytes"]


def read_table():
    with open(TABLE, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digest(directory):
    """Of the runs below `directory`, in the order of their names."""
    hasher = hashlib.sha256()
    for run in sorted(path for path in directory.iterdir() if path.is_dir()):
        hasher.update(run.name.encode())
        for name, columns in (("requests.csv", REQUESTS), ("iterations.csv", ITERATIONS)):
            with open(run / name, newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    hasher.update(",".join(row[column] for column in columns).encode() + b"\n")
    return hasher.hexdigest()[:16]


def fingerprint(binary, row, options=()):
    with tempfile.TemporaryDirectory(prefix="sparseserve-golden-") as out:
        command = [binary, "simulate", row["experiment"], "--data", ROOT, "--out", out, *options]
        for override in shlex.split(row["overrides"]):
            command += ["--set", override]
        result = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True,
                                stdin=subprocess.DEVNULL, timeout=300)
        if result.returncode != 0:
            return result.stderr.strip().splitlines()[-1]
        return digest(pathlib.Path(out))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    rows, differ = read_table(), 0
    for row in rows:
        found = fingerprint(arguments.binary.resolve(), row, ["--threads", arguments.threads])
        if found != row["fingerprint"]:
            differ += 1
            print(f"{row['name']}: {found}, recorded {row['fingerprint']} ({row['reason']})")
    print(f"{len(rows) - differ} of {len(rows)} fingerprints equal")
    if differ:
        print("a change that is meant: scripts/update_golden.py --reason TEXT")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
