"""tables.md: every number of the experiments as a table. Nothing in it is typed by hand."""
from paper.plots import order

TITLES = {
    "fig01": "Fixed decode batch, KV in DRAM, no working-set control",
    "fig04": "Rate of each load and save method (an input: the published microbenchmarks)",
    "fig08": "Overlap of selected blocks (an input: the level is inferred, the differences are published)",
    "fig10": "Mean time to the first token against the request rate",
    "fig11": "Output tokens per second against the request rate",
    "fig12": "Mean time between tokens against the request rate",
    "fig13": "Goodput: P99 TBT within 25 decode iterations, mean scheduling delay within 2 s",
    "fig14a": "A decode iteration, and the share of it that loads take",
    "fig14b": "Prefill with saving over prefill alone",
    "fig15": "Working-set-aware batch control, off (vllm-so-ft) and on (vllm-so-ft-wc)",
    "fig16a": "Mean TTFT: chunked (vllm-so-ft-wc) and layer-segmented prefill (sparseserve)",
    "fig16b": "Prefill attention time over that of a prompt in one piece",
    "machines": "Goodput on machines with faster links",
    "eviction": "Eviction policies with a fixed decode batch, and Belady's optimum",
    "eviction-goodput": "Does the eviction policy move the goodput?",
    "sensitivity": "Goodput when one assumption is changed",
}
NOTE = """`+-`: half of the 95 % interval, over seeds (Student t); of a goodput also over the error of operation
times, which is an assumed 15 % on this testbed. `[a, b]`: the interval where it is not symmetric. S: the queue kept growing in
that many seeds, so the value depends on the length of the run (220 requests).
"""


def significant(value):
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def cell(row):
    if row is None:
        return "-"
    text = significant(row.value)
    if row.lower95 is not None:
        below, above = row.value - row.lower95, row.upper95 - row.value
        if abs(below - above) <= 1e-6 * max(abs(row.value), 1e-12):
            text += f" +-{above:.2g}"
        else:
            text += f" [{significant(row.lower95)}, {significant(row.upper95)}]"
    return text + (f" S{row.saturated}" if row.saturated else "")


def table(rows):
    """Systems down, x across; without x the systems alone."""
    xs, systems = order(row.x for row in rows), order(row.system for row in rows)
    found = {(row.system, row.x): row for row in rows}
    if len(xs) > 8:  # many x, few systems: x down
        lines = [f"| {rows[0].x_name} | " + " | ".join(systems) + " |", "|---" * (len(systems) + 1) + "|"]
        lines += [f"| {x} | " + " | ".join(cell(found.get((s, x))) for s in systems) + " |" for x in xs]
    else:
        heads = [x or rows[0].metric.replace("_", " ") for x in xs]
        lines = [f"| {rows[0].x_name or 'system'} | " + " | ".join(heads) + " |", "|---" * (len(xs) + 1) + "|"]
        lines += [f"| {s} | " + " | ".join(cell(found.get((s, x))) for x in xs) + " |" for s in systems]
    return "\n".join(lines)


def with_ratio(rows):
    """Sensitivity: what sparseserve gains over vllm, beside each change."""
    rates = {(row.system, row.x): row.value for row in rows}
    lines = ["| change | instead of | vllm | vllm-s | sparseserve | sparseserve / vllm |", "|---" * 6 + "|"]
    for x in order(row.x for row in rows):
        base = next(row.setting for row in rows if row.x == x).removeprefix("instead of: ").replace("default", "")
        own = [rates.get((system, x), float("nan")) for system in ("vllm", "vllm-s", "sparseserve")]
        lines.append(f"| {x} | {base} | " + " | ".join(f"{rate:.3f}" for rate in own) + f" | {own[2] / own[0]:.2f} |")
    return "\n".join(lines)


def tables(rows, runs):
    text = f"# Predictions\n\nMade by `scripts/reproduce_paper{' --quick' if runs.quick else ''}` with {runs.version()}.\n"
    text += f"What they are and what they rest on: [README.md](README.md).\n\n{NOTE}"
    for figure in order(row.figure for row in rows):
        mine = [row for row in rows if row.figure == figure]
        text += f"\n## {figure}: {TITLES[figure]}\n"
        if figure == "sensitivity":
            text += "\n" + with_ratio(mine) + "\n"
            continue
        for setting, model, metric in order((row.setting, row.model, row.metric) for row in mine):
            panel = [row for row in mine if (row.setting, row.model, row.metric) == (setting, model, metric)]
            unit = f" [{panel[0].unit}]" if panel[0].unit else ""
            output = "" if setting == "default" else f", output {setting}"
            text += f"\n{model}{output}: {metric.replace('_', ' ')}{unit}\n\n{table(panel)}\n"
    return text
