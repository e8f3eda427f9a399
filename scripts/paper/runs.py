"""Runs of build/release/sparseserve that can be taken up again: what is finished is not run twice."""
import csv
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CONFIGS = ROOT / "configs/paper"


class Runs:
    """`work` holds stores and results; `quick` takes fewer requests and seeds."""

    def __init__(self, binary, work, quick):
        self.binary, self.work, self.quick = binary, work, quick
        self.digest = hashlib.sha256(binary.read_bytes()).hexdigest()
        self.begin = time.monotonic()
        work.mkdir(parents=True, exist_ok=True)

    def say(self, text):
        print(f"[{time.monotonic() - self.begin:5.0f} s] {text}", file=sys.stderr, flush=True)

    def call(self, *arguments):
        """Output of the tool; its own message and exit code when it fails, 3 (infeasible) apart."""
        command = [str(self.binary), *map(str, arguments)]
        result = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if result.returncode not in (0, 3):
            sys.stderr.write(result.stderr)
            sys.exit(f"reproduce_paper: exit {result.returncode} of: {' '.join(command)}")
        return result.stdout

    def version(self):
        return self.call("--version").splitlines()[0]

    @staticmethod
    def sets(values):
        return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]

    def simulate(self, name, experiment, values):
        """{system: folder} of an experiment file with these values."""
        out = self.work / name
        command = ["simulate", CONFIGS / experiment, *self.sets(values), "--out", out]
        asked = json.dumps([self.digest, *map(str, command), (CONFIGS / experiment).read_text()])
        done = out / "asked.json"
        if not (done.exists() and done.read_text() == asked):
            self.say(f"simulate {name}")
            done.unlink(missing_ok=True)
            self.call(*command)
            done.write_text(asked)
        return {folder.name: folder for folder in sorted(out.iterdir()) if folder.is_dir()}

    def few(self, requests, warmup):
        """What --quick takes less of; `requests` of the full run."""
        if not self.quick:
            return {}
        return {"workload.num_requests": max(requests // 6, 20), "warmup_requests": warmup // 6}

    def sweep(self, name, sweep, metrics, requests, warmup, values=None):
        """Rows of `sweep show --csv`: means with intervals, and effects paired over seeds."""
        store = self.work / f"{name}.sqlite"
        values = {**(values or {}), **(self.few(requests, warmup) if requests else {})}
        self.say(f"sweep {name}")
        command = ["sweep", CONFIGS / sweep, "--out", store, *self.sets(values)]
        self.call(*command, *(["--replications", 2] if self.quick else []))
        table = self.work / f"{name}.csv"
        chosen = [word for metric in metrics for word in ("--metric", metric)]
        self.call("sweep", "show", store, "--contrast", "system", *chosen, "--csv", table)
        with table.open() as file:
            return list(csv.DictReader(file))

    def points(self, name):
        """Every point of a sweep that has been run."""
        return list(csv.DictReader(self.call("sweep", "export", self.work / f"{name}.sqlite").splitlines()))

    def plan(self, name, plan, requests, warmup, values, seeds):
        """Rows of plan.csv."""
        out = self.work / name
        values = {**(values or {}), **self.few(requests, warmup)}
        self.say(f"plan {name}")
        self.call("plan", CONFIGS / plan, "--out", out, *self.sets(values), "--seeds", seeds)
        with (out / "plan.csv").open() as file:
            return list(csv.DictReader(file))

    def record_with(self, section, entry, field, value):
        """A copy of the testbed's calibration with one field of one entry changed; its path."""
        text = (ROOT / "calibration/devices/a100-40g-pcie4.yaml").read_text()
        begin = text.index(f"\n{section}:\n")
        pattern = re.compile(rf"^(  {re.escape(entry)}:\n(?:    .*\n)*?    {field}: )\S+$", re.MULTILINE)
        changed, count = pattern.subn(rf"\g<1>{value}", text[begin:], count=1)
        if count != 1:
            sys.exit(f"reproduce_paper: no {section}.{entry}.{field} in the testbed's calibration")
        path = self.work / f"{entry}-{value.replace('/', '')}.yaml"
        path.write_text(text[:begin] + changed)
        return path
