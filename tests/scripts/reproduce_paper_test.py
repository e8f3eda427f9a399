"""scripts/reproduce_paper: columns, known rows, and the same bytes from two runs.

Usage: tests/scripts/reproduce_paper_test.py BINARY [unittest options]
"""
import csv
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONTRACT = ["figure", "model", "system", "x_name", "x", "metric", "value", "unit"]
QUICKEST = ["fig08", "fig14a", "fig14b", "fig16b"]


class ReproducePaperTest(unittest.TestCase):
    binary = None

    def reproduce(self, name):
        """{file name: content} of a run in a folder of its own."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        out = pathlib.Path(folder.name) / name
        subprocess.run([sys.executable, "-B", ROOT / "scripts/reproduce_paper", "--quick", "--out", out, "--work",
                        out / "runs", "--build", self.binary.parent,
                        *(word for experiment in QUICKEST for word in ("--only", experiment))],
                       check=True, capture_output=True, stdin=subprocess.DEVNULL)
        return {file.name: file.read_bytes() for file in out.iterdir() if file.is_file()}

    def test_same_bytes_and_what_they_say(self):
        first = self.reproduce("a")
        self.assertLessEqual({f"{name}.csv" for name in QUICKEST}, set(first))
        self.assertEqual(first, self.reproduce("b"))
        for name, content in first.items():
            if name.endswith(".csv"):
                with self.subTest(name):
                    rows = list(csv.DictReader(content.decode().splitlines()))
                    self.assertEqual(list(rows[0])[:8], CONTRACT)
                    self.assertTrue(all(float(row["value"]) >= 0 for row in rows))
        # A chunk reads all keys before it again, so shorter chunks cost more; a copy call per block costs most.
        attention = {row["x"]: float(row["value"]) for row in csv.DictReader(first["fig16b.csv"].decode().splitlines())
                     if row["system"] == "vllm-so-ft"}
        self.assertGreater(attention["512"], attention["1024"])
        self.assertGreater(attention["1024"], attention["2048"])
        saving = {row["system"]: float(row["value"])
                  for row in csv.DictReader(first["fig14b.csv"].decode().splitlines())}
        self.assertGreater(saving["save-memcpy"], saving["save-direct"])
        self.assertGreater(saving["save-direct"], saving["save-flash"])


if __name__ == "__main__":
    ReproducePaperTest.binary = pathlib.Path(os.path.abspath(sys.argv.pop(1)))
    unittest.main()
