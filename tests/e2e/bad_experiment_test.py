#!/usr/bin/env python3
"""Bad experiments and what they name: exit code 2, one line per problem with file, line and key,
no file left behind.

Usage: tests/e2e/bad_experiment_test.py BINARY [unittest options]
"""
from harness import NO_LENGTHS, ROOT, SMALL, BinaryTest, experiment, main, small

SYSTEM = "name: mine\nattention: sparse\nkv_home: dram\nprefill: chunked\n"
MOONCAKE = '{"timestamp": 0, "input_length": 1000, "output_length": 20, "hash_ids": [1, 2]}\n'
TRACE = SMALL[:SMALL.index("workload:")] + "workload:\n  source: trace\n  path: t.jsonl\n"
MACHINE = (ROOT / "models/hardware/configs/h100-sxm-pcie5.yaml").read_text()
MODEL = (ROOT / "models/llm/configs/llama3-8b-262k.json").read_text()
HARDWARE = "hardware:\n  machine: h100-sxm-pcie5\n"


def hardware(line):
    return small(HARDWARE, HARDWARE + "  " + line + "\n")


def traced(name, content, message, *options):
    return experiment(name, TRACE, message, *options, files={"t.jsonl": content})


def system(name, content, message):
    return experiment(name, small("[sparseserve]", "[s.yaml]"), message, files={"s.yaml": content})


def model(name, content, message):
    return experiment(name, small("llama3-8b-262k", "config.json"), message,
                      files={"config.json": content})


FORM = [
    experiment("empty file", "", "e.yaml: the file is empty; expected a mapping"),
    experiment("only a comment", "# nothing\n", "e.yaml: the file is empty; expected a mapping"),
    experiment("not a mapping", "- a\n- b\n", "e.yaml:1: found a list; expected a mapping"),
    experiment("not YAML", SMALL + "slo: {ttft: 1s\n",
               "e.yaml:12: not YAML: end of map flow not found"),
    experiment("binary", b"\x7fELF\x02\x01", "e.yaml:1: control byte 0x02"),
    experiment("two documents", SMALL + "---\nname: b\n", "e.yaml:13: a second document"),
    experiment("duplicate key", SMALL + "name: again\n",
               "e.yaml:12: name: repeated key; first given on line 1"),
    experiment("unknown key", small("rate: 2/s", "rate: 2/s\n  max_promt: 5"),
               "e.yaml:9: workload.max_promt: unknown key; ... did you mean 'max_prompt'?"),
    experiment("unknown map", SMALL + "memroy:\n  eviction: lru\n",
               "e.yaml:12: memroy: unknown key; ... did you mean 'memory'?"),
    experiment("a typo is unknown and missing", small("rate:", "rte:"),
               "e.yaml:8: workload.rte: unknown key; ... did you mean 'rate'?", lines=2),
    experiment("missing key", small("model: llama3-8b-262k\n", ""), "e.yaml:1: model: missing key"),
    experiment("missing map", small(HARDWARE, ""), "e.yaml:1: hardware: missing key"),
    experiment("word for a map", small(HARDWARE, "hardware: h100\n"),
               "e.yaml:4: hardware: found 'h100'; expected a mapping"),
    experiment("word for a list", small("[sparseserve]", "sparseserve"),
               "e.yaml:2: systems: found 'sparseserve'; ... write [sparseserve]"),
    experiment("three problems", small("2/s", "2") + "seed: -1\nslo: {ttft: 1}\n",
               "e.yaml:12: seed: '-1' is out of range", lines=3),
    experiment("folder of another name", small("name: small", "name: ../../x"),
               "e.yaml:1: name: '../../x' cannot name a folder"),
]

VALUES = [
    experiment("no unit", small("2/s", "2"), "e.yaml:8: workload.rate: '2' has no unit; "
               "expected a number between ... with a unit: /s, /min or /h"),
    experiment("wrong unit", SMALL + "memory:\n  kv_pool: 10Gb\n",
               "e.yaml:13: memory.kv_pool: '10Gb' has the unknown unit 'Gb' ... mean 'GB'?"),
    experiment("a time for bytes", SMALL + "memory:\n  kv_pool: 10ms\n",
               "e.yaml:13: memory.kv_pool: '10ms' has the unknown unit 'ms'"),
    experiment("NaN", SMALL + "locality: {skew: .nan}\n",
               "e.yaml:12: locality.skew: '.nan' is not a number"),
    experiment("infinite", small("mean: 1500", "mean: .inf"),
               "e.yaml:10: workload.prompt.mean: '.inf' is not a number"),
    experiment("negative", SMALL + "memory: {kv_pool: -1GB}\n",
               "e.yaml:12: memory.kv_pool: '-1GB' is out of range"),
    experiment("per cent", SMALL + "memory: {hbm_utilization: 90%}\n",
               "e.yaml:12: memory.hbm_utilization: '90%' is not a plain number; ... write 0.9"),
    experiment("above one", SMALL + "memory: {hbm_utilization: 1.1}\n",
               "e.yaml:12: memory.hbm_utilization: '1.1' is out of range"),
    experiment("zero requests", small("num_requests: 20", "num_requests: 0"),
               "e.yaml:9: workload.num_requests: '0' is out of range"),
    experiment("part of a request", small("num_requests: 20", "num_requests: 2.5"),
               "e.yaml:9: workload.num_requests: '2.5' is not an integer"),
    experiment("huge integer", small("num_requests: 20", "num_requests: 99999999999999999999"),
               "e.yaml:9: workload.num_requests: '99999999999999999999' is too large"),
    experiment("octal", small("num_requests: 20", "num_requests: 020"),
               "e.yaml:9: workload.num_requests: '020' is not an integer; ... are not read"),
    experiment("zero rate", small("2/s", "0/s"), "e.yaml:8: workload.rate: '0/s' is out of range"),
    experiment("yes", small("rate: 2/s", "rate: 2/s\n  drop_longer: yes"),
               "e.yaml:9: workload.drop_longer: 'yes' is not a truth value"),
    experiment("min above max", small("{mean: 1500}", "{kind: uniform, min: 9, max: 3}"),
               "e.yaml:10: workload.prompt.min: min is above max"),
    experiment("impossible lengths",
               small("{mean: 1500}", "{kind: normal, mean: 9, standard_deviation: 1, min: 900}"),
               "e.yaml:10: workload.prompt: hardly any length drawn lies in [min, max]"),
    experiment("sampled share 0", SMALL + "fidelity: {mode: sampled, share: 0}\n",
               "e.yaml:12: fidelity.share: '0' is out of range"),
    experiment("sampled share above 1", SMALL + "fidelity: {mode: sampled, share: 1.5}\n",
               "e.yaml:12: fidelity.share: '1.5' is out of range"),
    experiment("unknown fidelity", SMALL + "fidelity: {mode: sample}\n",
               "e.yaml:12: fidelity.mode: 'sample' is not known here ... mean 'sampled'?"),
    experiment("link_scale 0", hardware("link_scale: 0"),
               "e.yaml:6: hardware.link_scale: '0' is out of range"),
    experiment("time_scale 0", hardware("time_scale: 0"),
               "e.yaml:6: hardware.time_scale: '0' is out of range"),
    experiment("tensor_parallel 0", hardware("tensor_parallel: 0"),
               "e.yaml:6: hardware.tensor_parallel: '0' is out of range"),
]

NAMES = [
    experiment("unknown system", small("[sparseserve]", "[vllm, sparserve]"),
               "e.yaml:2: systems[1]: no system is called 'sparserve' ... mean 'sparseserve'?"),
    experiment("unknown model", small("llama3-8b-262k", "llama-8b"),
               "e.yaml:3: model: no model is called 'llama-8b'; expected deepseek-v3.2, "),
    experiment("unknown machine", small("h100-sxm-pcie5", "h200"),
               "e.yaml:5: hardware.machine: no machine is called 'h200'; expected a100-"),
    experiment("unknown calibration", hardware("calibration: h100-sxm-pcie4"),
               "e.yaml:6: hardware.calibration: no calibration is called 'h100-sxm-pcie4' ..."
               " did you mean 'h100-sxm-pcie5'?"),
    experiment("unknown router", hardware("router: random"),
               "e.yaml:6: hardware.router: 'random' is not known here; expected round-robin"),
    experiment("unknown eviction", SMALL + "memory: {eviction: lur}\n",
               "e.yaml:12: memory.eviction: 'lur' is not known here ... did you mean 'lru'?"),
    experiment("unknown policy", SMALL + "selection: {policy: quests}\n",
               "e.yaml:12: selection.policy: 'quests' is not known here ... mean 'quest'?"),
    experiment("unknown preset", SMALL + "locality: {preset: flat}\n",
               "e.yaml:12: locality.preset: 'flat' is not known here; expected flat-tail"),
    experiment("unknown source", small("synthetic", "longbnch"),
               "e.yaml:7: workload.source: 'longbnch' is not known here ... mean 'longbench'?"),
    experiment("unknown task", NO_LENGTHS.replace("synthetic", "longbench\n  tasks: [qaspr]"),
               "e.yaml:8: workload.tasks: no samples of task 'qaspr' ... is 'qasper' meant?"),
    experiment("no systems", small("[sparseserve]", "[]"), "e.yaml:2: systems: the list is empty"),
    experiment("a system twice", small("[sparseserve]", "[vllm, sparseserve, vllm]"),
               "e.yaml:2: systems[2]: 'vllm' is listed twice"),
]

TOGETHER = [
    experiment("model larger than HBM", small("llama3-8b-262k", "llama-3.1-70b"),
               "e.yaml:3: model: llama-3.1-70b on h100-sxm-pcie5 leaves no KV memory: "
               "KV memory = usable 71.7 GiB of 79.6 GiB - weights 131 GiB - "),
    experiment("token-layers for less than one token",
               SMALL + "scheduler: {max_inject_token_layers: 16}\n",
               "e.yaml:12: scheduler.max_inject_token_layers: 16 does not take one token through "
               "the 32 layers; expected 0, or at least the number of layers"),
    experiment("kv_pool too large", SMALL + "memory: {kv_pool: 60GiB}\n",
               "e.yaml:12: memory.kv_pool: 60.0 GiB are more than llama3-8b-262k on "
               "h100-sxm-pcie5 leaves; expected at most 55.4 GiB"),
    experiment("prompt that no DRAM holds",
               small("mean: 1500", "mean: 200000") + "memory: {dram: 1GB}\n",
               "e.yaml:6: workload: request 0 of 200000 prompt tokens can never be served by "
               "sparseserve with llama3-8b-262k on h100-sxm-pcie5: it needs 24.4 GiB of KV in D"),
    experiment("prompt that no HBM holds",
               small("[sparseserve]", "[sparseserve, vllm]").replace("1500", "200000") +
               "memory: {kv_pool: 1GB}\n",
               "e.yaml:6: workload: request 0 of 200000 prompt tokens can never be served by "),
    experiment("more GPUs than there are", hardware("tensor_parallel: 16"),
               "e.yaml:6: hardware.tensor_parallel: 16 GPUs, but h100-sxm-pcie5 has 8"),
    experiment("sample of less than a lane",
               SMALL + "fidelity: {mode: sampled, share: 0.001}\n",
               "e.yaml:12: fidelity.share: leaves none of the 256 lanes (32 layers of 8); "),
    experiment("sample that loses dense layers",
               SMALL + "selection: {policy: quest}\nfidelity: {mode: sampled, share: 0.02}\n",
               "e.yaml:13: fidelity.share: leaves out layers of the 256 lanes (32 layers of 8): "),
    experiment("sample of a recording",
               SMALL + "fidelity: {mode: sampled}\nlocality: {trace: s.sel}\n",
               "e.yaml:12: fidelity.mode: a recording (locality.trace) cannot be replayed in ",
               files={"s.sel": "SSELTRCE"}),
    experiment("heads that do not divide", hardware("tensor_parallel: 3"),
               "e.yaml:6: hardware.tensor_parallel: the 8 KV heads of llama3-8b-262k do not "),
    experiment("budget below what is always selected", SMALL + "selection: {budget_tokens: 32}\n",
               "e.yaml:12: selection.sink_blocks: found 2; expected 0 to the budget of 1 blocks"),
    experiment("overlap without window 1",
               SMALL + "locality:\n  overlap: [{window: 4, overlap: 0.9}]\n",
               "e.yaml:13: locality.overlap: no point for window 1"),
    experiment("rate of recorded arrivals", TRACE + "  rate: 1/s\n",
               "e.yaml:9: workload.rate: recorded arrivals have their own rate"),
    experiment("recorded arrivals of a generator",
               small("rate: 2/s", "rate: 2/s\n  arrivals: as-recorded"),
               "e.yaml:9: workload.arrivals: 'as-recorded' is not known here"),
    experiment("missing rate", small("  rate: 2/s\n", ""),
               "e.yaml:7: workload.rate: missing key"),
]

FILES = [
    experiment("missing trace", TRACE, "t.jsonl: no such file"),
    experiment("folder as trace", TRACE.replace("t.jsonl", "."), ".: is a directory"),
    traced("empty trace", "", "t.jsonl: the file is empty"),
    traced("trace cut off", MOONCAKE + MOONCAKE[:40], "t.jsonl:2: the last line is cut off"),
    traced("negative length", MOONCAKE + MOONCAKE.replace("1000", "-5"),
           "t.jsonl:2: input_length: '-5' is out of range"),
    traced("falling times", MOONCAKE.replace(": 0,", ": 5,") + MOONCAKE,
           "t.jsonl:2: arrives before the row of line 1"),
    traced("unknown columns", "a,b\n1,2\n", "t.jsonl:1: no known trace format starts with 'a,b'"),
    traced("no request left", MOONCAKE, "e.yaml:6: workload: the trace holds no request",
           "--set", "workload.max_prompt=10", "--set", "workload.drop_longer=true"),
    experiment("missing model", small("llama3-8b-262k", "x/config.json"),
               "x/config.json: cannot be read, or is empty"),
    model("torn model", MODEL[:150], "config.json:8: not JSON"),
    model("model without a key", MODEL.replace("num_hidden_layers", "layers"),
          "config.json: num_hidden_layers: missing key"),
    experiment("calibration of another schema", hardware("calibration: r.yaml"),
               "r.yaml:1: schema: 'sparseserve-calibration/2' is not known here",
               files={"r.yaml": "schema: sparseserve-calibration/2\nname: x\ndevice: y\n"}),
    experiment("machine without a unit", small("h100-sxm-pcie5", "m.yaml"),
               "m.yaml:12: gpu.hbm: '80' has no unit",
               files={"m.yaml": MACHINE.replace("hbm: ", "hbm: 80 #", 1)}),
    system("working-set control without DRAM",
           SYSTEM.replace("dram", "hbm") + "batch_control: working-set\n",
           "s.yaml:5: batch_control: working-set control needs KV at home in DRAM"),
    system("system without a name", SYSTEM[11:], "s.yaml:1: name: missing key"),
    system("system named after another folder", SYSTEM.replace("mine", "../mine"),
           "s.yaml:1: name: '../mine' cannot name a folder"),
    experiment("folder as system", small("[sparseserve]", "[./]"), "./: cannot be read: Is a dir"),
    experiment("missing selection trace", SMALL + "locality: {trace: none.sel}\n",
               "e.yaml:12: locality.trace: 'none.sel' is no file"),
    experiment("torn selection trace", SMALL + "locality: {trace: s.sel}\n",
               "s.sel: byte 8: the data ends here", files={"s.sel": "SSELTRCE"}),
    experiment("missing LongBench table", NO_LENGTHS.replace("synthetic", "longbench\n  table: x"),
               f"{ROOT}/x: no such file"),
]


class BadExperimentTest(BinaryTest):
    def test_form(self):
        self.check(FORM)

    def test_values(self):
        self.check(VALUES)

    def test_names(self):
        self.check(NAMES)

    def test_what_does_not_fit_together(self):
        self.check(TOGETHER)

    def test_files_that_an_experiment_names(self):
        self.check(FILES)


if __name__ == "__main__":
    main()
