#!/usr/bin/env python3
"""Bad inputs: the exit code, one line per problem that says where and what, and nothing left behind.

Usage: tests/e2e/bad_input_test.py BINARY [unittest options]
"""
import os
import pathlib
import unittest

from harness import ROOT, SMALL, BinaryTest, main

SYSTEM = "name: mine\nattention: sparse\nkv_home: dram\nprefill: chunked\n"
MOONCAKE = '{"timestamp": 0, "input_length": 1000, "output_length": 20, "hash_ids": [1, 2]}\n'
TRACE = SMALL[:SMALL.index("workload:")] + "workload:\n  source: trace\n  path: t.jsonl\n"
RECORD = "schema: sparseserve-calibration/2\nname: x\ndevice: y\n"
MACHINE = (ROOT / "models/hardware/configs/h100-sxm-pcie5.yaml").read_text()
MODEL = (ROOT / "models/llm/configs/llama3-8b-262k.json").read_text()


def small(old, new):
    assert old in SMALL, old
    return SMALL.replace(old, new)


def simulate(name, text, message, *options, lines=1, code=2, files=None):
    """An experiment e.yaml with the content `text` (None: there is none), and what is said of it."""
    contents = dict(files or {})
    if text is not None:
        contents["e.yaml"] = text
    return (name, ["simulate", "e.yaml", "--data", str(ROOT), "--out", "out", *options], contents,
            message, lines, code)


def traced(name, content, message, *options):
    return simulate(name, TRACE, message, *options, files={"t.jsonl": content})


def given(name, arguments, message, code=2, files=None):
    return (name, arguments, files or {}, message, 1, code)


# Each: name, arguments, files, beginning of the first line on stderr, lines there, exit code.
CASES = [
    # The experiment file
    simulate("missing file", None, "?"),
    simulate("empty file", "", "?"),
    simulate("only a comment", "# nothing\n", "?"),
    simulate("not a mapping", "- a\n- b\n", "?"),
    simulate("not YAML", SMALL + "slo: {ttft: 1s\n", "?"),
    simulate("binary", b"\x7fELF\x02\x01\x01\x00", "?"),
    simulate("a second document", SMALL + "---\nname: b\n", "?"),
    simulate("duplicate key", SMALL + "name: again\n", "?"),
    simulate("unknown key", small("rate: 2/s", "rate: 2/s\n  max_promt: 5"), "?"),
    simulate("unknown map", SMALL + "memroy:\n  eviction: lru\n", "?"),
    simulate("a typo is unknown and missing", small("rate:", "rte:"), "?", lines=2),
    simulate("missing key", small("model: llama3-8b-262k\n", ""), "?"),
    simulate("missing map", small("hardware:\n  machine: h100-sxm-pcie5\n", ""), "?"),
    simulate("map expected", small("hardware:\n  machine: h100-sxm-pcie5", "hardware: h100-sxm-pcie5"), "?"),
    simulate("list expected", small("[sparseserve]", "sparseserve"), "?"),
    simulate("three problems", small("rate: 2/s", "rate: 2") + "seed: -1\nslo: {ttft: 1}\n", "?", lines=3),
    # Values
    simulate("no unit", small("2/s", "2"), "?"),
    simulate("wrong unit", SMALL + "memory:\n  kv_pool: 10Gb\n", "?"),
    simulate("a time for bytes", SMALL + "memory:\n  kv_pool: 10ms\n", "?"),
    simulate("NaN", SMALL + "locality:\n  skew: .nan\n", "?"),
    simulate("infinite", small("mean: 1500", "mean: .inf"), "?"),
    simulate("negative", SMALL + "memory:\n  kv_pool: -1GB\n", "?"),
    simulate("per cent", SMALL + "memory:\n  hbm_utilization: 90%\n", "?"),
    simulate("above one", SMALL + "memory:\n  hbm_utilization: 1.1\n", "?"),
    simulate("zero requests", small("num_requests: 20", "num_requests: 0"), "?"),
    simulate("fraction of a request", small("num_requests: 20", "num_requests: 2.5"), "?"),
    simulate("zero rate", small("2/s", "0/s"), "?"),
    simulate("huge integer", small("num_requests: 20", "num_requests: 99999999999999999999"), "?"),
    simulate("octal", small("num_requests: 20", "num_requests: 020"), "?"),
    simulate("yes is no boolean", small("rate: 2/s", "rate: 2/s\n  drop_longer: yes"), "?"),
    simulate("min above max", small("{mean: 1500}", "{kind: uniform, min: 9, max: 3}"), "?"),
    simulate("impossible lengths", small("{mean: 1500}", "{kind: normal, mean: 9, standard_deviation: 1, min: 9000, max: 9001}"), "?"),
    # Names
    simulate("unknown system", small("[sparseserve]", "[sparserve]"), "?"),
    simulate("unknown model", small("llama3-8b-262k", "llama-8b"), "?"),
    simulate("unknown machine", small("h100-sxm-pcie5", "h100"), "?"),
    simulate("unknown calibration", small("pcie5\n", "pcie5\n  calibration: h100\n"), "?"),
    simulate("unknown router", small("pcie5\n", "pcie5\n  router: random\n"), "?"),
    simulate("unknown eviction", SMALL + "memory: {eviction: lur}\n", "?"),
    simulate("unknown policy", SMALL + "selection: {policy: quests}\n", "?"),
    simulate("unknown preset", SMALL + "locality: {preset: flat}\n", "?"),
    simulate("unknown source", small("synthetic", "longbnch"), "?"),
    simulate("unknown task", small("synthetic", "longbench\n  tasks: [qaspr]").replace("  prompt: {mean: 1500}\n  output: {mean: 20}\n", ""), "?"),
    simulate("no systems", small("[sparseserve]", "[]"), "?"),
    simulate("a system twice", small("[sparseserve]", "[vllm, sparseserve, vllm]"), "?"),
    simulate("a name that leaves the folder", small("name: small", "name: ../../x"), "?"),
    # What does not fit together
    simulate("model larger than HBM", small("llama3-8b-262k", "llama-3.1-70b"), "?"),
    simulate("kv_pool too large", SMALL + "memory: {kv_pool: 60GiB}\n", "?"),
    simulate("prompt that no DRAM holds", small("mean: 1500", "mean: 200000") + "memory: {dram: 1GB}\n", "?"),
    simulate("prompt that no HBM holds", small("mean: 1500", "mean: 200000").replace("[sparseserve]", "[vllm]") + "memory: {kv_pool: 1GB}\n", "?"),
    simulate("metadata that no HBM holds", small("mean: 1500", "mean: 900000") + "memory: {kv_pool: 200MB}\n", "?"),
    simulate("more GPUs than the machine has", small("pcie5\n", "pcie5\n  tensor_parallel: 16\n"), "?"),
    simulate("heads that do not divide", small("pcie5\n", "pcie5\n  tensor_parallel: 3\n"), "?"),
    simulate("tensor_parallel zero", small("pcie5\n", "pcie5\n  tensor_parallel: 0\n"), "?"),
    simulate("budget below what is always selected", SMALL + "selection: {budget_tokens: 32}\n", "?"),
    simulate("overlap that is not increasing", SMALL + "locality:\n  overlap: [{window: 4, overlap: 0.9}, {window: 2, overlap: 0.95}]\n", "?"),
    simulate("rate for recorded arrivals", TRACE + "  rate: 1/s\n", "?", files={"t.jsonl": MOONCAKE}),
    simulate("recorded arrivals of a generator", small("rate: 2/s", "arrivals: as-recorded"), "?"),
    simulate("missing rate", small("  rate: 2/s\n", ""), "?"),
    # Traces
    simulate("missing trace", TRACE, "?"),
    simulate("a folder as trace", TRACE.replace("t.jsonl", "."), "?"),
    traced("empty trace", "", "?"),
    traced("truncated JSON line", MOONCAKE + MOONCAKE[:40], "?"),
    traced("negative length", MOONCAKE + MOONCAKE.replace("1000", "-5"), "?"),
    traced("no such column", "a,b\n1,2\n", "?"),
    traced("all rows dropped", MOONCAKE, "?", "--set", "workload.max_prompt=10", "--set", "workload.drop_longer=true"),
    traced("falling times", MOONCAKE.replace(": 0,", ": 5,") + MOONCAKE, "?"),
    # Files that the experiment names
    simulate("missing model file", small("llama3-8b-262k", "none/config.json"), "?"),
    simulate("torn config.json", small("llama3-8b-262k", "config.json"), "?", files={"config.json": MODEL[:150]}),
    simulate("config.json without a key", small("llama3-8b-262k", "config.json"), "?", files={"config.json": MODEL.replace("num_hidden_layers", "layers")}),
    simulate("a folder as model", small("llama3-8b-262k", "./x.json"), "?", files={"x.json/y": ""}),
    simulate("calibration of another schema", small("pcie5\n", "pcie5\n  calibration: r.yaml\n"), "?", files={"r.yaml": RECORD}),
    simulate("machine with a missing unit", small("h100-sxm-pcie5", "m.yaml"), "?", files={"m.yaml": MACHINE.replace("hbm: ", "hbm: 80 #", 1)}),
    simulate("working-set control without DRAM", small("[sparseserve]", "[s.yaml]"), "?", files={"s.yaml": SYSTEM.replace("dram", "hbm") + "batch_control: working-set\n"}),
    simulate("system without a name", small("[sparseserve]", "[s.yaml]"), "?", files={"s.yaml": SYSTEM[11:]}),
    simulate("system whose name leaves the folder", small("[sparseserve]", "[s.yaml]"), "?", files={"s.yaml": SYSTEM.replace("mine", "../mine")}),
    simulate("a folder as system", small("[sparseserve]", "[./s.yaml]"), "?", files={"s.yaml/x": ""}),
    simulate("missing selection trace", SMALL + "locality: {trace: none.sel}\n", "?"),
    simulate("torn selection trace", SMALL + "locality: {trace: s.sel}\n", "?", files={"s.sel": "SSELTRCE"}),
    simulate("LongBench table of another form", small("synthetic", "longbench\n  table: e.yaml").replace("  prompt: {mean: 1500}\n  output: {mean: 20}\n", ""), "?"),
    # --set
    simulate("--set without =", SMALL, "?", "--set", "seed"),
    simulate("--set below a scalar", SMALL, "?", "--set", "model.name=x"),
    simulate("--set of an unknown key", SMALL, "?", "--set", "memory.evict=lru"),
    simulate("--set of a bad value", SMALL, "?", "--set", "workload.rate=fast"),
    simulate("--set past the list", SMALL, "?", "--set", "systems[3]=vllm"),
    simulate("--set of nothing", SMALL, "?", "--set", "=3"),
    simulate("--set with broken YAML", SMALL, "?", "--set", "systems=[a"),
    # Options
    simulate("--threads 0", SMALL, "?", "--threads", "0"),
    simulate("--threads -5", SMALL, "?", "--threads", "-5"),
    simulate("--threads abc", SMALL, "?", "--threads", "abc"),
    simulate("--seed -1", SMALL, "?", "--seed", "-1"),
    simulate("--seed 2^64", SMALL, "?", "--seed", "18446744073709551616"),
    simulate("--timeline-window of one time", SMALL, "?", "--timeline-window", "5s"),
    simulate("--timeline-window without units", SMALL, "?", "--timeline-window", "1:2"),
    simulate("--timeline-window backwards", SMALL, "?", "--timeline-window", "2s:1s"),
    simulate("--json FILE", SMALL, "?", "--json", "x.json"),
    simulate("--json twice", SMALL, "?", "--json", "-", "--json", "-"),
    simulate("unknown option", SMALL, "?", "--thread", "2"),
    simulate("unknown short option", SMALL, "?", "-x"),
    simulate("two positionals", SMALL, "?", "f.yaml"),
    simulate("option without value", SMALL, "?", "--seed"),
    simulate("recording of two systems", small("[sparseserve]", "[vllm, sparseserve]"), "?", "--record-selection", "r.sel"),
    simulate("recording of a system without offload", small("[sparseserve]", "[vllm]"), "?", "--record-selection", "r.sel"),
    given("no verb", [], "?"),
    given("unknown verb", ["simulat"], "?"),
    given("simulate nothing", ["simulate"], "?"),
    given("folder as experiment", ["simulate", "."], "?"),
    given("data folder without data", ["simulate", "e.yaml", "--data", "."], "?", files={"e.yaml": SMALL}),
    given("trace without action", ["trace"], "?"),
    given("trace of an unknown action", ["trace", "show", "x"], "?"),
    given("trace info of nothing", ["trace", "info"], "?"),
    given("trace info of a missing file", ["trace", "info", "none.csv"], "?"),
    given("trace info of an empty file", ["trace", "info", "t"], "?", files={"t": ""}),
    given("trace convert without --out", ["trace", "convert", "t"], "?", files={"t": MOONCAKE}),
    given("trace convert to an unknown format", ["trace", "convert", "t", "--out", "x", "--to", "azure"], "?", files={"t": MOONCAKE}),
    given("trace convert to an unknown format", ["trace", "convert", "t", "--out", "x", "--to", "xml"], "?", files={"t": MOONCAKE}),
    given("trace generate of an unknown kind", ["trace", "generate", "poisson", "--out", "x"], "?"),
    given("trace generate without a rate", ["trace", "generate", "synthetic", "--out", "x"], "?"),
    given("trace --seed x", ["trace", "generate", "synthetic", "--out", "x", "--seed", "x"], "?"),
    given("model without info", ["model", "llama3-8b-262k"], "?"),
    given("model info of nothing", ["model", "info"], "?"),
    given("model info of an unknown model", ["model", "info", "llama"], "?"),
    given("model info on an unknown machine", ["model", "info", "lwm-7b", "--machine", "b200"], "?"),
    given("model info of too many GPUs", ["model", "info", "lwm-7b", "--machine", "gh200", "--tensor-parallel", "65"], "?"),
    given("model info of a model that does not fit", ["model", "info", "deepseek-v3.2", "--machine", "gh200"], "?"),
    given("model info heads tp", ["model", "info", "lwm-7b", "--machine", "h100-sxm-pcie5", "--tensor-parallel", "7"], "?"),
    given("model info more than has", ["model", "info", "lwm-7b", "--machine", "gh200", "--tensor-parallel", "8"], "?"),
]


class BadInputTest(BinaryTest):
    def test_show(self):
        for i, (name, arguments, files, message, lines, code) in enumerate(CASES):
            here = self.here / str(i)
            here.mkdir()
            for file, content in files.items():
                self.write(f"{i}/{file}", content)
            r = self.run_binary(*arguments, cwd=here)
            flag = "" if r.returncode == code and len(r.stderr.splitlines()) == lines and r.stdout == "" else "   <<<<<<<<"
            print(f"[{name}] {r.returncode}{flag}\n{r.stdout[:200]}{r.stderr}", end="")
            left = [str(p.relative_to(here)) for p in here.rglob("*") if p.is_file() and str(p.relative_to(here)) not in files]
            if left:
                print("   LEFT", left)


if __name__ == "__main__":
    main()
