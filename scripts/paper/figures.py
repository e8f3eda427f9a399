"""The experiments: each function runs one and returns its rows; nothing here knows a published result."""
import csv
import json
import math
import statistics
from dataclasses import dataclass, replace

# 97.5 % quantiles of Student's t by degrees of freedom.
T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
MODELS = ("lwm-7b", "llama3-8b")
SYSTEMS = ["vllm", "vllm-s", "vllm-so", "vllm-so-ft", "vllm-so-ft-wc", "sparseserve"]
POLICIES = ["lru", "fifo", "clock", "sieve", "s3-fifo", "layer-cyclic"]
SETTLED = 16  # iterations of a full batch that are left out first: the window of the working set is full
UNITS = {"mean_ttft_ms": "ms", "output_throughput": "tokens/s", "mean_itl_ms": "ms",
         "kv.block_loads_per_iteration": "blocks"}


@dataclass
class Row:
    figure: str
    model: str
    system: str
    x_name: str
    x: str
    metric: str
    value: float
    unit: str
    lower95: float | None = None
    upper95: float | None = None
    seeds: int = 1
    saturated: int = 0  # seeds in which the queue kept growing, so that latency depends on the run's length
    setting: str = "default"


def interval(values):
    """(mean, lower, upper) with the 95 % interval of the mean."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return mean, None, None
    half = T[min(len(values) - 1, 9)] * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def number(text):
    return float(text) if text else None


def loads(runs, figures, name, sweep, model, setting, values):
    """One sweep along rates gives the rows of several figures: {figure: [metric, ...]}."""
    metrics = [metric for chosen in figures.values() for metric in chosen]
    rows = runs.sweep(name, sweep, metrics, 220, 20, values)
    for figure, chosen in figures.items():
        for row in rows:
            if row["metric"] in chosen:
                yield Row(figure, model, row["system"], "request rate [1/s]", row["rate"].removesuffix("/s"),
                          row["metric"], float(row["mean"]), UNITS[row["metric"]], number(row["mean_low"]),
                          number(row["mean_high"]), int(row["n"]), int(row["saturated"]), setting)


SETTINGS = {"default": {}, "gen-cap": {"workload.output": "gen-cap"}}
# Turns an experiment of LWM-7B into one of Llama3-8B (configs/paper/llama3-8b.yaml).
LLAMA = {"model": "llama3-8b-262k", "workload.tokenizer": "llama3", "workload.max_prompt": 131072,
         "fidelity.share": 0.125}


def fig10_to_12(runs):
    figures = {"fig10": ["mean_ttft_ms"], "fig11": ["output_throughput"], "fig12": ["mean_itl_ms"]}
    for setting, values in SETTINGS.items():
        for model in MODELS:
            yield from loads(runs, figures, f"fig10-12-{model}-{setting}", f"fig10-12-{model}.yaml", model, setting,
                             values)


def fig15(runs):
    for setting, values in SETTINGS.items():
        yield from loads(runs, {"fig15": ["output_throughput", "kv.block_loads_per_iteration"]}, f"fig15-{setting}",
                         "fig15.yaml", "lwm-7b", setting, values)


def fig16a(runs):
    for setting, values in SETTINGS.items():
        yield from loads(runs, {"fig16a": ["mean_ttft_ms"]}, f"fig16a-{setting}", "fig16a.yaml", "lwm-7b", setting,
                         values)


def goodput(rows, figure, model, setting, seeds, x_name="", x=None):
    """Rows of plan.csv; the interval joins seeds and the error of operation times. One seed has none."""
    for row in sorted(rows, key=lambda row: SYSTEMS.index(row["system"])):
        low, high = (number(row["rate_low"]), number(row["rate_high"])) if row["rate_high"] else (None, None)
        yield Row(figure, model, row["system"], x_name, row[x] if x else "", "goodput", float(row["rate"]),
                  "requests/s", low, high, seeds, 0, setting)


def fig13(runs):
    for setting, values in SETTINGS.items():
        for model in MODELS:
            seeds = 3 if setting == "default" and not runs.quick else 1
            rows = runs.plan(f"fig13-{model}-{setting}", f"fig13-{model}.yaml", 120, 15, values, seeds)
            yield from goodput(rows, "fig13", model, setting, seeds)


# --- a fixed batch that decodes -----------------------------------------------------------------------------------


def decode_only(folder, batch):
    """Means over the iterations in which `batch` requests decode and none prefills, once they have settled."""
    with (folder / "iterations.csv").open() as file:
        full = [row for row in csv.DictReader(file) if int(row["num_decodes"]) == batch and row["num_prefills"] == "0"]
    full = full[SETTLED:]
    if not full:
        return None
    seconds = [float(row["end_s"]) - float(row["begin_s"]) for row in full]
    mean = statistics.mean(seconds)
    return {"output_throughput": batch / mean, "iteration_ms": 1e3 * mean,
            "block_loads_per_iteration": statistics.mean(int(row["block_loads"]) for row in full),
            "load_stall_share": sum(float(row["load_stall_s"]) for row in full) / sum(seconds),
            "load_busy_share": sum(float(row["h2d_busy_s"]) for row in full) / sum(seconds)}


def batches(runs, sizes, values=None, name="batch", seeds=5):
    """{(batch, system): [figures, one per seed]}; a seed is another draw of prompts."""
    found = {}
    for size in sizes:
        for seed in range(1, (2 if runs.quick else seeds) + 1):
            asked = {"workload.num_requests": size, "scheduler.max_requests": size, "seed": seed, **(values or {})}
            for system, folder in runs.simulate(f"{name}-{size}-{seed}", "fig01-14a.yaml", asked).items():
                measured = decode_only(folder, size)
                if measured:
                    found.setdefault((size, system), []).append({**measured, "folder": folder})
    return found


def measured_row(figure, system, x, metric, unit, values):
    mean, low, high = interval(values)
    return Row(figure, "lwm-7b", system, "decode batch", x, metric, mean, unit, low, high, len(values))


def from_batches(found, figure, metrics):
    for (size, system), runs in found.items():
        for metric, unit in metrics.items():
            yield measured_row(figure, system, str(size), metric, unit, [run[metric] for run in runs])


def fig01(runs):
    found = batches(runs, (2, 4, 6, 8, 10, 12))
    yield from from_batches(found, "fig01", {"output_throughput": "tokens/s", "block_loads_per_iteration": "blocks"})


def fig14a(runs):
    found = batches(runs, (4, 6, 8))
    yield from from_batches(found, "fig14a", {"iteration_ms": "ms", "load_stall_share": "", "load_busy_share": ""})


def fig04(runs):
    """Rates that the transfers of a run reach: bytes over the time that the lane was busy with them."""
    chosen = {"vllm-so": ("load memcpy", "save memcpy"), "save-direct": (None, "save GPU kernel"),
              "vllm-so-ft": ("load FlashH2D", "save FlashD2H")}
    for tokens, kib in ((8, 4), (16, 8), (32, 16), (64, 32)):
        values = {"selection.block_tokens": tokens, "workload.num_requests": 12, "scheduler.max_requests": 12,
                  "systems": "[vllm-so, configs/paper/systems/save-direct.yaml, vllm-so-ft]"}
        folders = runs.simulate(f"fig04-{kib}", "fig01-14a.yaml", values)
        for system, methods in chosen.items():
            summary = json.loads((folders[system] / "summary.json").read_text())
            for direction, method in zip(("h2d", "d2h"), methods):
                if method:
                    rate = summary["kv"][f"{direction}_bytes"] / summary["lane_busy"][f"{direction}_s"] / 1e9
                    yield Row("fig04", "lwm-7b", method, "block [KiB]", str(kib), "rate", rate, "GB/s")


def fig08(runs):
    """Overlap of the selected blocks with those of the last w steps: asked of the locality model, and realised."""
    samples = {}
    for run in batches(runs, (8,))[(8, "vllm-so-ft")]:
        for row in json.loads((run["folder"] / "summary.json").read_text())["overlap"]:
            for kind in ("asked", "realised"):
                samples.setdefault((str(row["window"]), kind), []).append(row[kind])
    for (window, kind), values in samples.items():
        mean, low, high = interval(values)
        yield Row("fig08", "lwm-7b", "vllm-so-ft", "window [steps]", window, f"overlap_{kind}", mean, "", low, high,
                  len(values))


# --- prefill ------------------------------------------------------------------------------------------------------


def fig14b(runs):
    """Time of prefills with saving over the computation alone, seed by seed."""
    rows = runs.sweep("fig14b", "fig14b.yaml", ["duration"], 40, 0)
    for row in rows:
        if row["relative"]:
            yield Row("fig14b", "lwm-7b", row["system"], "", "", "prefill_over_computation", 1 + float(row["relative"]),
                      "", 1 + float(row["relative_low"]), 1 + float(row["relative_high"]), int(row["n"]))


def fig16b(runs):
    """Attention time of a prompt of 32,000 tokens in chunks over that in one piece."""
    runs.sweep("fig16b", "fig16b.yaml", ["duration"], 0, 0)
    seconds = {(p["system"], p["chunk"]): float(p["time_share.attention"]) * float(p["duration"])
               for p in runs.points("fig16b") if p["replication"] == "0"}
    plain = seconds["vllm-so-ft", "32768"]
    for (system, chunk), value in seconds.items():
        if chunk != "32768":
            yield Row("fig16b", "lwm-7b", system, "chunk [tokens]", chunk, "attention_over_plain", value / plain, "")


# --- beyond the paper -----------------------------------------------------------------------------------------------


def eviction(runs):
    """Loads and rates of every policy with a fixed batch, and the loads of Belady's optimum for the same accesses."""
    for policy in POLICIES:
        replay = {"memory.replay_evictions": "[opt]"} if policy == "lru" else {}
        found = batches(runs, (6, 12, 24), {"systems": "[vllm-so-ft]", "memory.eviction": policy, **replay},
                        f"eviction-{policy}", seeds=3)
        for (size, _), measured in found.items():
            whole = [json.loads((run["folder"] / "summary.json").read_text()) for run in measured]
            figures = {"block_loads": ("blocks", [run["kv"]["block_loads"] for run in whole]),
                       "output_throughput": ("tokens/s", [run["output_throughput"] for run in measured])}
            for metric, (unit, values) in figures.items():
                yield measured_row("eviction", policy, str(size), metric, unit, values)
            if policy == "lru":
                loads_of_opt = [run["eviction_replay_block_loads"]["opt"] for run in whole]
                yield measured_row("eviction", "opt", str(size), "block_loads", "blocks", loads_of_opt)


def eviction_goodput(runs):
    rows = runs.plan("eviction-goodput", "eviction-goodput.yaml", 110, 10, {}, 1)
    yield from goodput(rows, "eviction-goodput", "lwm-7b", "gen-cap", 1, "eviction", "eviction")


def machines(runs):
    for model in MODELS:
        values = {} if model == "lwm-7b" else LLAMA
        rows = runs.plan(f"machines-{model}", "machines.yaml", 90, 10, values, 1)
        yield from goodput(rows, "machines", model, "default", 1, "machine", "machine")


def assumptions(runs):
    """(label, what is assumed, values of the experiment): one assumption changed at a time."""
    calibration = "hardware.calibration"
    yield "as it is", "", {}
    yield "output gen-cap", "what a chat model wrote", {"workload.output": "gen-cap"}
    yield "mix by samples", "tasks equally likely", {"workload.mix": "samples"}
    for text in ("0ms", "2ms", "8ms"):
        yield f"host work {text}", "4 ms", {"engine.host_overhead": text}
    for text in ("0.5GB", "2GB"):
        yield f"framework memory {text}", "1 GB", {"memory.framework": text}
    for text in ("0.85", "0.95"):
        yield f"HBM utilization {text}", "0.9", {"memory.hbm_utilization": text}
    yield "overlap 60 %", "80 % between steps", {"locality.preset": "shadowkv-60"}
    yield "skewed fresh blocks", "uniform", {"locality.skew": "0.5"}
    changes = [("GEMM 60 % of peak", "80 %", "efficiencies", "gemm.compute", "value", "0.6"),
               ("prefill attention 50 % of peak", "73 %", "efficiencies", "attention.prefill.compute", "value", "0.5"),
               ("sparse attention 50 % of HBM", "80 %", "efficiencies", "attention.decode_sparse.memory", "value", "0.5"),
               ("FlashH2D 24 GB/s", "20 GB/s", "operations", "h2d.flash", "bandwidth", "24GB/s"),
               ("FlashH2D slows nothing", "12.5 %", "slowdowns", "h2d.flash", "value", "1")]
    for label, now, *place in changes:
        yield label, now, {calibration: runs.record_with(*place)}


def sensitivity(runs):
    """Goodput with one assumption changed at a time; `x` is the change, and its base in the setting."""
    for i, (label, base, values) in enumerate(assumptions(runs)):
        rows = runs.plan(f"sensitivity-{i:02}", "sensitivity.yaml", 80, 10, values, 1)
        setting = f"instead of: {base}" if base else "default"
        for row in goodput(rows, "sensitivity", "lwm-7b", setting, 1, "assumption"):
            yield replace(row, x=label)


ALL = [fig01, fig04, fig08, fig10_to_12, fig13, fig14a, fig14b, fig15, fig16a, fig16b, machines, eviction,
       eviction_goodput, sensitivity]
