#!/usr/bin/env python3
"""Records the results of the present build as the golden ones.

Usage: scripts/update_golden.py --reason TEXT [BINARY]     BINARY defaults to build/release/sparseserve
Reads and rewrites tests/golden/fingerprints.csv: lines that changed get the new fingerprint and TEXT, which says
what in the model changed; the others stay. Commit it with that change.
"""
import argparse
import csv
import pathlib
import sys

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/golden"))
import fingerprints  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reason", required=True)
    parser.add_argument("binary", nargs="?", type=pathlib.Path, default=ROOT / "build/release/sparseserve")
    arguments = parser.parse_args()
    rows, changed = fingerprints.read_table(), 0
    for row in rows:
        found = fingerprints.fingerprint(arguments.binary.resolve(), row)
        if len(found) != 16:
            sys.exit(f"update_golden: {row['name']}: {found}")
        if found != row["fingerprint"]:
            row["fingerprint"], row["reason"] = found, arguments.reason
            changed += 1
    with open(fingerprints.TABLE, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fingerprints.FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{changed} of {len(rows)} fingerprints changed")
    if changed:
        print("quoted from simulations, to be made anew: README.md (scripts/run), results/plan, results/paper, results/bench/fidelity.md")


if __name__ == "__main__":
    main()
