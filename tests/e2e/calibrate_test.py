#!/usr/bin/env python3
"""calibrate --from: a record and a machine file from measurements of a synthetic machine whose laws
are known, what they say, that `simulate` takes them, and what is refused.

Usage: tests/e2e/calibrate_test.py BINARY [unittest options]
"""
import json
import re

from harness import ROOT, SMALL, BinaryTest, Case, main, small

MACHINE_FILE = "out/pc.machine.yaml"
RECORD_FILE = "out/pc.yaml"

# seconds of a call of n items of s bytes: launch, per item, per byte
LINEAR = {
    "h2d.memcpy": (0, 5e-6, 1 / 25e9), "h2d.flash": (10e-6, 0, 1 / 20e9),
    "d2h.memcpy": (0, 4e-6, 1 / 25e9), "d2h.direct": (5e-6, 9e-9, 1 / 22e9),
    "d2h.flash": (4e-6, 0, 1 / 23e9), "cpu.scatter": (1e-6, 12e-9, 1 / 40e9),
    "attention.decode_full": (9e-6, 1e-6, 1 / 50e9),
    "attention.decode_sparse": (9e-6, 2e-6, 1 / 40e9), "score": (4e-6, 1e-9, 1 / 45e9),
}
VALUES = {
    "ceilings.h2d": 26e9, "ceilings.d2h": 25e9, "ceilings.duplex": 40e9, "ceilings.hbm_read": 60e9,
    "ceilings.dram_copy": 30e9, "ceilings.gemm": 2e12, "ceilings.memory": 128e9,
    "ceilings.workers": 16, "latencies.kernel": 2e-6, "counts.cpu.scatter.threads": 4,
    "efficiencies.elementwise.memory": 0.8, "slowdowns.h2d.memcpy": 1.02,
    "slowdowns.h2d.flash": 1.1, "slowdowns.d2h.memcpy": 1.02, "slowdowns.d2h.direct": 1.4,
    "slowdowns.d2h.flash": 0.99,
}
ITEMS, ITEM_BYTES = (1, 8, 64, 512, 4096), (4096, 8192, 16384, 32768)


def gemm_seconds(tokens, weight_bytes):
    """The bound changes from memory to compute, and tiles of 64 tokens make steps."""
    tiles = -(-tokens // 64)
    return 3e-6 + max(weight_bytes / 50e9, 64 * tiles * weight_bytes / 2e12)


def topk_seconds(rows, row_bytes):
    return max(8e-6, rows * row_bytes / 30e9)  # a plateau: one launch does many rows


def point(operation, items, item_bytes, seconds, held_out=False, **more):
    entry = {"name": f"{operation}/items:{items}/item_bytes:{item_bytes}", "iterations": 20,
             "real_time": seconds * 1e9, "cpu_time": seconds * 1e9, "time_unit": "ns",
             "items": items, "item_bytes": item_bytes, "bytes": items * item_bytes, "flops": 0,
             "q1_ns": 0.99 * seconds * 1e9, "q3_ns": 1.01 * seconds * 1e9, "noisy": False,
             "held_out": held_out}
    return {**entry, **more}


def measurements():
    points = []

    def add(operation, seconds, items, item_bytes, held_out):
        points.extend(point(operation, n, s, seconds(n, s), is_held_out)
                      for sizes, is_held_out in (([(n, s) for n in items for s in item_bytes], False),
                                                 (held_out, True)) for n, s in sizes)

    for name, (launch, per_item, per_byte) in LINEAR.items():
        add(name, lambda n, s, a=launch, b=per_item, c=per_byte: a + n * b + n * s * c, ITEMS,
            ITEM_BYTES, [(20, 6000), (300, 20000), (2000, 5000)])
    sizes = [2 ** 20, 2 ** 22, 2 ** 24, 2 ** 26]
    add("gemm", gemm_seconds, (1, 64, 65, 128, 129, 256, 257, 1024), sizes,
        [(30, 2 ** 21), (100, 2 ** 25), (700, 3 * 2 ** 22)])
    add("topk", topk_seconds, (1, 4, 16, 64, 256), (1024, 4096, 16384, 65536),
        [(8, 2000), (100, 30000)])
    for entry in points:
        if entry["name"].startswith("gemm/"):
            entry["flops"] = entry["items"] * entry["item_bytes"]  # bf16: 2 for each 2 bytes
            entry["bytes"] = entry["item_bytes"]
    points += [point("attention.prefill", n, 8192, 1e-5 + n * n * 1e-9, flops=n * n * 1e3)
               for n in (64, 256, 1024, 4096)]
    values = {key: {"value": value, "how": "a synthetic machine"} for key, value in VALUES.items()}
    context = {"backend": "cpu", "device": "synthetic", "driver": "none", "cuda": "none",
               "clocks": "none", "date": "2026-11-20", "commit": "abc"}
    return {"context": context, "benchmarks": points, "values": values}


def raw(change=lambda document: None):
    document = measurements()
    change(document)
    return json.dumps(document)


def nvbandwidth(**rates):
    cases = [{"name": name, "status": "Passed", "bandwidth_matrix": [row]}
             for name, row in rates.items()]
    return json.dumps({"nvbandwidth": {"testcases": cases}})


CE = {"host_to_device_memcpy_ce": ["55.0", "N/A", "57.0"], "device_to_host_memcpy_ce": ["54.5"],
      "host_to_device_bidirectional_memcpy_ce": ["41.0"],
      "device_to_host_bidirectional_memcpy_ce": ["42.5"]}


class CalibrateTest(BinaryTest):
    def calibrate(self, *options, document=None, out=RECORD_FILE):
        self.write("raw.json", document or raw())
        (self.here / "out").mkdir(exist_ok=True)
        result = self.run_binary("calibrate", "--from", "raw.json", "--out", out, "--data", ROOT,
                                 *options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def record(self):
        return (self.here / RECORD_FILE).read_text()


class FromTest(CalibrateTest):
    def test_the_table_names_each_form_and_its_error(self):
        result = self.calibrate()
        rows = {line.split()[0]: line.split() for line in result.stdout.splitlines()[3:] if line}
        for name in LINEAR:
            self.assertEqual(rows[name][1:4], ["linear", "20", "3"], rows[name])
            self.assertEqual(rows[name][4:6], ["0.0", "0.0"], rows[name])
        self.assertEqual(rows["gemm"][1:5], ["grid", "8x4", "32", "3"])
        self.assertEqual(rows["topk"][1:5], ["grid", "5x4", "20", "2"])
        self.assertIn("not measured: h2d.batch, h2d.bulk, ", result.stdout)
        self.assertEqual(result.stderr, f"record in {RECORD_FILE}, machine in {MACHINE_FILE}\n")

    def test_the_record_holds_the_laws_the_points_and_their_origin(self):
        self.calibrate()
        text = self.record()
        self.assertRegex(text, r"h2d.flash:\n    kind: measured\n(.*\n)+?    launch: 10us\n"
                               r"    bandwidth: 20GB/s\n")
        self.assertIn("commit: abc", text)
        self.assertEqual(text.count("- {items: "), 8 + 5 + len(measurements()["benchmarks"]))
        self.assertRegex(text, r"d2h.flash:\n    value: 1\n(.*\n)*?.*below the limit")
        self.assertEqual(text, self.again())

    def again(self):
        self.calibrate()
        return self.record()

    def test_a_curve_that_misses_is_warned_of(self):
        def spoil(document):
            for entry in document["benchmarks"]:
                if entry["name"].startswith("score/") and entry["held_out"]:
                    entry["real_time"] *= 2
                    entry["q3_ns"] *= 2
        result = self.calibrate(document=raw(spoil))
        self.assertRegex(result.stdout, r"warning: score is 50 % off at the median")
        self.assertEqual(result.stdout.count("warning"), 1)

    def test_nvbandwidth_replaces_the_link(self):
        self.write("nv.json", nvbandwidth(**CE))
        self.calibrate("--nvbandwidth", "nv.json")
        machine = (self.here / MACHINE_FILE).read_text()
        self.assertIn("h2d_bandwidth: 56GB/s", machine)
        self.assertIn("duplex_bandwidth: 83.5GB/s", machine)
        self.assertIn("nvbandwidth, host_to_device_memcpy_ce, median of", self.record())

    def test_efficiencies_are_relative_to_the_machine_that_is_named(self):
        self.calibrate("--machine", "h200-sxm", "--base", "h200-sxm")
        text = self.record()
        # 0.8 of 60 GB/s over the data sheet's 4.8 TB/s.
        self.assertRegex(text, r"elementwise.memory:\n    value: 0.01\n    kind: measured")
        self.assertRegex(text, r"allreduce.link:\n    value: 0.8\n    kind: assumed")
        self.assertIn("machine: h200-sxm\n", text)
        self.assertFalse((self.here / MACHINE_FILE).exists())


class SimulateTest(CalibrateTest):
    def simulate_with(self, machine, record):
        self.write("e.yaml", SMALL)
        named = ["--set", f"hardware.calibration={record}"] if record else []
        return self.run_binary("simulate", "e.yaml", "--data", ROOT, "--out", "run", "--set",
                               f"hardware.machine={machine}", *named)

    def test_the_two_files_serve_a_simulation(self):
        self.calibrate()
        result = self.simulate_with(MACHINE_FILE, RECORD_FILE)
        self.assertEqual(result.returncode, 0, result.stderr)
        named = self.simulate_with(MACHINE_FILE, "")  # the machine file names its record
        self.assertEqual(named.returncode, 0, named.stderr)
        summary = self.summary("run/sparseserve")
        self.assertEqual((summary["completed"], summary["calibration"]), (20, "pc"))

    def test_paths_of_the_command_line_are_relative_to_the_working_directory(self):
        self.calibrate()
        self.write("configs/deep/e.yaml", SMALL)
        result = self.run_binary("simulate", "configs/deep/e.yaml", "--data", ROOT, "--out", "run",
                                 "--set", f"hardware.machine={MACHINE_FILE}",
                                 "--set", f"hardware.calibration={RECORD_FILE}")
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_a_record_of_another_machine_is_refused(self):
        self.calibrate()
        for machine, record, message in [
                ("gh200", RECORD_FILE, "the record pc is of pc (synthetic) and not of the machine "
                                       "gh200; expected gh200; "),
                (MACHINE_FILE, "gh200", "the record gh200 is of gh200 (NVIDIA GH200, NVLink-C2C) "
                                        "and not of the machine pc; expected ./pc.yaml; ")]:
            result = self.simulate_with(machine, record)
            self.assertEqual(result.returncode, 2)
            where = "sparseserve: --set hardware.calibration: hardware.calibration: "
            self.assertTrue(result.stderr.startswith(where + message), result.stderr)

    def test_a_torn_or_edited_record_is_refused_wherever_it_ends(self):
        self.calibrate()
        text = self.record()
        seal = text.index("\nname: ")
        edited = re.sub("20GB/s", "21GB/s", text)
        for content in [text[:seal + 1 + n] for n in range(0, len(text) - seal - 1, 997)] + [edited]:
            self.write(RECORD_FILE, content)
            result = self.simulate_with(MACHINE_FILE, RECORD_FILE)
            self.assertEqual(result.returncode, 2)
            self.assertIn(f"{RECORD_FILE}:3: digest: the rest of the file is not what was written",
                          result.stderr)


def calibrate_case(name, message, *options, files=None, document=None):
    files = {"raw.json": document or raw(), **(files or {})}
    return Case(name, ["calibrate", "--from", "raw.json", "--out", "r.yaml", "--data", ROOT,
                       *options], message, files)


def without(*keys):
    def change(document):
        for key in keys[:-1]:
            document = document[key]
        del document[keys[-1]]
    return raw(change)


def with_point(**fields):
    return raw(lambda document: document["benchmarks"][0].update(fields))


class BadTest(CalibrateTest):
    def test_options(self):
        def case(name, message, *options):
            return Case(name, ["calibrate", *options], message)
        self.check([
            case("nothing", "--out: no file is given; expected a path that ends in .yaml"),
            case("no source", "calibrate: nothing to measure; expected either --backend or --from",
                 "--out", "r.yaml"),
            case("both sources", "calibrate: --backend beside --from", "--out", "r.yaml",
                 "--backend", "cpu", "--from", "raw.json"),
            case("unknown backend", "--backend: 'tpu' is not known; expected cpu or cuda",
                 "--backend", "tpu", "--out", "r.yaml"),
            case("no YAML", "--out: 'r.json'; expected a path that ends in .yaml", "--backend",
                 "cpu", "--out", "r.json"),
            case("budget", "--budget: '5x' is no budget; expected a time from 1s to 24h",
                 "--backend", "cpu", "--out", "r.yaml", "--budget", "5x"),
            case("long budget", "--budget: '48h' is no budget", "--backend", "cpu", "--out",
                 "r.yaml", "--budget", "48h"),
            case("budget of a fit", "--budget: nothing is measured with --from", "--from",
                 "raw.json", "--out", "r.yaml", "--budget", "5m"),
            case("missing file", "none.json: cannot be read: No such file", "--from", "none.json",
                 "--out", "r.yaml"),
        ])

    def test_measurements(self):
        self.check([
            calibrate_case("torn", "raw.json:1: not JSON: the file ends too early",
                           document=raw()[:4000]),
            calibrate_case("no object", "raw.json: found an array", document="[]"),
            calibrate_case("no context", "raw.json: context: missing key",
                           document=without("context")),
            calibrate_case("no median", "raw.json: benchmarks[0].real_time: missing key",
                           document=without("benchmarks", 0, "real_time")),
            calibrate_case("text for a number", "raw.json: benchmarks[0].items: found \"8\"",
                           document=with_point(items="8")),
            calibrate_case("negative", "raw.json: benchmarks[0].bytes: -5 is out of range",
                           document=with_point(bytes=-5)),
            calibrate_case("part of an item", "raw.json: benchmarks[0].items: 1.5 is not an integer",
                           document=with_point(items=1.5)),
            calibrate_case("no time", "raw.json: benchmarks[0].real_time: a call takes time",
                           document=with_point(real_time=0)),
            calibrate_case("quartiles", "raw.json: benchmarks[0].q1_ns: above the median",
                           document=with_point(q1_ns=1e9)),
            calibrate_case("unknown operation", "raw.json: benchmarks[0].name: no operation is "
                           "called 'h2d.magic'", document=with_point(name="h2d.magic/items:1")),
            calibrate_case("microseconds", "raw.json: benchmarks[0].time_unit: found 'us'; "
                           "expected ns", document=with_point(time_unit="us")),
            calibrate_case("unknown value", "raw.json: no value is called 'slowdowns.magic'",
                           document=raw(lambda d: d["values"].update(
                               {"slowdowns.magic": {"value": 1, "how": "x"}}))),
            calibrate_case("no points", "raw.json: no measurement",
                           document=raw(lambda d: d.update(benchmarks=[]))),
            calibrate_case("no ceiling", "raw.json: no ceilings.gemm",
                           document=without("values", "ceilings.gemm")),
            calibrate_case("no memory size", "ceilings.memory: not measured, and a machine cannot "
                           "be described without it", document=without("values", "ceilings.memory")),
        ])

    def test_nvbandwidth(self):
        def case(name, message, text):
            return calibrate_case(name, message, "--nvbandwidth", "nv.json",
                                  files={"nv.json": text})
        self.check([
            case("other JSON", "nv.json: nvbandwidth: missing key", "{}"),
            case("no copy engine", "nv.json: nvbandwidth.testcases: no host_to_device_memcpy_ce "
                 "that passed", nvbandwidth(host_to_device_memcpy_sm=["50.1"])),
            case("waived", "nv.json: nvbandwidth.testcases: no host_to_device_memcpy_ce that",
                 nvbandwidth(**CE).replace("Passed", "Waived")),
            case("no number", "nv.json: nvbandwidth.testcases[0].bandwidth_matrix[0][0]: '5o' is "
                 "no bandwidth", nvbandwidth(**{**CE, "host_to_device_memcpy_ce": ["5o"]})),
        ])

    def test_an_error_leaves_the_last_record(self):
        self.calibrate()
        before = self.record()
        self.write("raw.json", raw()[:999])
        result = self.run_binary("calibrate", "--from", "raw.json", "--out", RECORD_FILE)
        self.assertEqual(result.returncode, 2)
        self.assertEqual(self.record(), before)
        self.assertEqual(sorted(path.name for path in (self.here / "out").iterdir()),
                         ["pc.machine.yaml", "pc.yaml"])

    def test_a_folder_that_cannot_be_made_is_found_before_measuring(self):
        self.write("none", "a file")
        result = self.run_binary("calibrate", "--backend", "cpu", "--out", "none/r.yaml")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"^sparseserve: .*none.*\n$")


if __name__ == "__main__":
    main()
