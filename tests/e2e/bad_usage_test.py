#!/usr/bin/env python3
"""Bad command lines (exit code 2) and failures of the surroundings (1): one line, nothing left.

Usage: tests/e2e/bad_usage_test.py BINARY [unittest options]
"""
import resource
import signal

from harness import RESULT_FILES, ROOT, SMALL, BinaryTest, Case, experiment, main, small

MOONCAKE = '{"timestamp": 0, "input_length": 1000, "output_length": 20, "hash_ids": [1, 2]}\n'
TRACE = {"t": MOONCAKE}


def option(name, value, message):
    return experiment(f"{name} {value}", SMALL, message, name, value)


SET = [
    option("--set", "seed", "--set seed: no '='; expected path=value"),
    option("--set", "=3", "--set : not a path"),
    option("--set", "model.name=x", "--set model.name: 'name' is looked up in 'llama3-8b-262k'"),
    option("--set", "memory.evict=lru", "--set memory.evict: memory.evict: unknown key"),
    option("--set", "workload.rate=fast", "--set workload.rate: workload.rate: 'fast' is not a "),
    option("--set", "systems[3]=vllm", "--set systems[3]: [3] is past the end of the list"),
    option("--set", "systems=[a", "--set systems: not YAML: end of sequence flow not found"),
    option("--set", "memory.kv_pool=60GiB", "--set memory.kv_pool: memory.kv_pool: 60.0 GiB are"),
]

OPTIONS = [
    option("--threads", "0", "--threads: '0' is out of range; expected an integer from 1 to 1024"),
    option("--threads", "-5", "--threads: '-5' is out of range"),
    option("--threads", "abc", "--threads: 'abc' is not an integer"),
    option("--seed", "-1", "--seed: '-1' is out of range"),
    option("--seed", "18446744073709551616", "--seed: '18446744073709551616' is out of range"),
    option("--timeline-window", "5s", "--timeline-window: '5s' is no window"),
    option("--timeline-window", "1:2", "--timeline-window: '1:2' is no window"),
    option("--timeline-window", "2s:1s", "--timeline-window: '2s:1s' is no window"),
    option("--json", "x.json", "--json: 'x.json' is no destination; expected -"),
    option("--thread", "2", "simulate: unrecognised option '--thread'"),
    option("-x", "1", "simulate: unrecognised option '-x'"),
    experiment("two experiments", SMALL, "simulate: too many positional options", "f.yaml"),
    experiment("no value", SMALL, "simulate: the required argument for option '--seed'", "--seed"),
    experiment("recording two systems", small("[sparseserve]", "[vllm, sparseserve]"),
               "--record-selection: the experiment runs several systems",
               "--record-selection", "r.sel"),
    experiment("recording without offload", small("[sparseserve]", "[vllm]"),
               "--record-selection: vllm keeps all KV in HBM", "--record-selection", "r.sel"),
    experiment("recording sampled lanes", SMALL + "fidelity: {mode: sampled}\n",
               "--record-selection: fidelity.mode is sampled", "--record-selection", "r.sel"),
    Case("no experiment", ["simulate"], "simulate: no experiment is given"),
    Case("missing experiment", ["simulate", "e.yaml"], "e.yaml: cannot be read: No such file"),
    Case("folder as experiment", ["simulate", "."], ".: cannot be read: Is a directory"),
    Case("data folder without data", ["simulate", "e.yaml", "--data", "."],
         "--data: '.' holds no configs/systems", {"e.yaml": SMALL}),
    Case("unknown verb", ["simulat"], "unknown verb 'simulat' ... did you mean 'simulate'?"),
    Case("unknown option before the verb", ["--verbose"], "unknown verb '--verbose'"),
]

OTHER_VERBS = [
    Case("trace alone", ["trace"], "trace: nothing to do; expected info, convert or generate"),
    Case("unknown action", ["trace", "show", "t"], "trace: unknown action 'show'", TRACE),
    Case("info of nothing", ["trace", "info"], "trace: 'info' of what?"),
    Case("info of a missing file", ["trace", "info", "none.csv"], "none.csv: no such file"),
    Case("info of an empty file", ["trace", "info", "t"], "t: the file is empty", {"t": ""}),
    Case("convert without --out", ["trace", "convert", "t"], "trace: --out is missing", TRACE),
    Case("convert a torn file", ["trace", "convert", "t", "--out", "x"],
         "t:2: the last line is cut off", {"t": MOONCAKE + MOONCAKE[:9]}),
    Case("format that is not written", ["trace", "convert", "t", "--out", "x", "--to", "azure"],
         "format: 'azure' is not written", TRACE),
    Case("unknown format", ["trace", "convert", "t", "--out", "x", "--to", "xml"],
         "trace: unknown format 'xml'", TRACE),
    Case("unknown generator", ["trace", "generate", "poisson", "--out", "x"],
         "trace: no generator is called 'poisson'"),
    Case("generate without a rate", ["trace", "generate", "synthetic", "--out", "x"],
         "command line: workload.rate: missing key"),
    Case("model without info", ["model", "lwm-7b"], "model: no 'info MODEL' is given"),
    Case("info of no model", ["model", "info"], "model: no 'info MODEL' is given"),
    Case("unknown model", ["model", "info", "llama"], "MODEL: no model is called 'llama'"),
    Case("unknown machine", ["model", "info", "lwm-7b", "--machine", "b200"],
         "--machine: no machine is called 'b200'"),
    Case("65 GPUs", ["model", "info", "lwm-7b", "--tensor-parallel", "65"],
         "--tensor-parallel: '65' is out of range"),
    Case("more GPUs than there are",
         ["model", "info", "lwm-7b", "--machine", "gh200", "--tensor-parallel", "8"],
         "--tensor-parallel: 8 GPUs, but gh200 has 1"),
    Case("heads that do not divide",
         ["model", "info", "lwm-7b", "--machine", "h200-sxm", "--tensor-parallel", "7"],
         "--tensor-parallel: the 32 KV heads of lwm-7b do not divide among 7 GPUs"),
    Case("model larger than HBM", ["model", "info", "deepseek-v3.2", "--machine", "gh200"],
         "model: deepseek-v3.2 on gh200 leaves no KV memory"),
]

SURROUNDINGS = [
    experiment("a file in the way of the results", SMALL, "out/sparseserve: ... Not a directory",
               files={"out": "precious"}, code=1),
    Case("a folder that cannot be made",
         ["simulate", "e.yaml", "--data", ROOT, "--out", "/proc/no"],
         "/proc/no/sparseserve: ", {"e.yaml": SMALL}, code=1),
    Case("trace into a missing folder", ["trace", "convert", "t", "--out", "no/x"], "no/x: ",
         TRACE, code=1),
]


class BadUsageTest(BinaryTest):
    def test_set(self):
        self.check(SET)

    def test_options(self):
        self.check(OPTIONS)

    def test_other_verbs(self):
        self.check(OTHER_VERBS)

    def test_surroundings(self):
        self.check(SURROUNDINGS)

    def test_no_verb_prints_the_help(self):
        result = self.run_binary()
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertIn("usage: sparseserve VERB", result.stderr)

    def test_help_and_version_need_nothing_else(self):
        for arguments in (["--help"], ["simulate", "--help"], ["trace", "-h"], ["model", "--help"]):
            result = self.run_binary(*arguments)
            self.assertEqual((result.returncode, result.stderr), (0, ""), arguments)
            self.assertIn("usage: sparseserve ", result.stdout)
            self.assertLessEqual(max(map(len, result.stdout.splitlines())), 100, arguments)
        self.assertRegex(self.run_binary("--version").stdout, r"^sparseserve \d+\.\d+\.\d+ \(.+\)$")

    def test_standard_output_that_is_full(self):
        self.write("e.yaml", SMALL)
        for arguments in (["simulate", "e.yaml", "--data", ROOT], ["--help"],
                          ["model", "info", "lwm-7b", "--data", ROOT]):
            with open("/dev/full", "w") as full:
                result = self.run_binary(*arguments, stdout=full)
            self.assertEqual(result.returncode, 1, arguments)
            self.assertEqual(result.stderr.splitlines()[-1],
                             "sparseserve: standard output: No space left on device")
        results = {path.name for path in (self.here / "out/small/sparseserve").iterdir()}
        self.assertEqual(results, RESULT_FILES)  # what was computed is kept

    def test_a_disk_that_is_full(self):
        def limit():  # a write past 10 kB fails, as it does on a full disk
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        self.write("e.yaml", SMALL)
        result = self.run_binary("simulate", "e.yaml", "--data", ROOT, "--out", "out",
                                 preexec_fn=limit)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr,
                         "sparseserve: out/sparseserve/iterations.csv: File too large\n")
        self.assertEqual([path for path in (self.here / "out").rglob("*") if path.is_file()], [])


if __name__ == "__main__":
    main()
