"""What the tests of the binary share: a small experiment, a temporary directory, one way to run.

Usage of every test file: TEST.py BINARY [unittest options]
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import typing
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BINARY = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
# How many times longer than usual a run may take: sanitizers are slow.
PATIENCE = float(os.environ.get("SPARSESERVE_TEST_PATIENCE", "1"))

# 20 requests over about 10 s of simulated time: a run takes a tenth of a second.
SMALL = """\
name: small
systems: [sparseserve]
model: llama3-8b-262k
hardware:
  machine: h100-sxm-pcie5
workload:
  source: synthetic
  rate: 2/s
  num_requests: 20
  prompt: {mean: 1500}
  output: {mean: 20}
"""
NO_LENGTHS = SMALL[:SMALL.index("  prompt:")]  # for other generators
RESULT_FILES = {"summary.json", "requests.csv", "iterations.csv", "config.resolved.yaml"}


class Case(typing.NamedTuple):
    """A bad input, and what the binary says of it."""
    name: str
    arguments: list
    message: str  # the first line on stderr begins so; behind " ... " stands how it ends
    files: dict = {}  # {name: content} in the working directory
    lines: int = 1  # on stderr: one for each problem
    code: int = 2


def small(old, new):
    """SMALL with one part replaced."""
    assert old in SMALL, old
    return SMALL.replace(old, new)


def experiment(name, text, message, *options, files=None, lines=1, code=2):
    """The case of an experiment file e.yaml with the content `text`."""
    return Case(name, ["simulate", "e.yaml", "--data", ROOT, "--out", "out", *options], message,
                {"e.yaml": text, **(files or {})}, lines, code)


class BinaryTest(unittest.TestCase):
    """Each test has an empty directory, self.here, which is also where the binary runs."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="sparseserve-e2e-")
        self.addCleanup(temporary.cleanup)
        self.here = pathlib.Path(temporary.name)

    def write(self, name, text):
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def run_binary(self, *arguments, cwd=None, stdout=subprocess.PIPE, **more):
        return subprocess.run([BINARY, *map(str, arguments)], cwd=cwd or self.here, timeout=60 * PATIENCE,
                              stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                              text=True, **more)

    def simulate(self, *arguments, out="out", **more):
        """Runs e.yaml into `out`, and fails the test unless that works."""
        if not (self.here / "e.yaml").exists():
            self.write("e.yaml", SMALL)
        result = self.run_binary("simulate", "e.yaml", "--data", ROOT, "--out", out, *arguments,
                                 **more)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def check(self, cases):
        """Each case is told as it should be and leaves no file behind."""
        for case in cases:
            with self.subTest(case.name), tempfile.TemporaryDirectory(dir=self.here) as folder:
                here = pathlib.Path(folder)
                for name, content in case.files.items():
                    self.write(here / name, content)
                result = self.run_binary(*case.arguments, cwd=here)
                self.assertEqual(result.returncode, case.code, result.stderr)
                self.assertEqual(result.stdout, "")
                lines = result.stderr.splitlines()
                self.assertEqual(len(lines), case.lines, result.stderr)
                begin, _, end = case.message.partition(" ... ")
                self.assertTrue(lines[0].startswith("sparseserve: " + begin), lines[0])
                self.assertTrue(lines[0].endswith(end), lines[0])
                left = {str(path.relative_to(here)) for path in here.rglob("*") if path.is_file()}
                self.assertEqual(left, set(case.files))

    def summary(self, directory="out/sparseserve"):
        return json.loads((self.here / directory / "summary.json").read_text())

    def results(self, directory):
        """{name: bytes} of all files below, the wall-clock figures of summaries left out."""
        found = {}
        base = self.here / directory
        for path in sorted(base.rglob("*")):
            if path.is_dir():
                continue
            content = path.read_bytes()
            if path.name == "summary.json":
                summary = json.loads(content)
                del summary["perf"]["wall_s"]
                content = json.dumps(summary, indent=2).encode()
            found[str(path.relative_to(base))] = content
        return found


def main():
    if BINARY is None:
        sys.exit(f"usage: {sys.argv[0]} BINARY [unittest options]")
    unittest.main()
