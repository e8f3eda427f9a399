#!/usr/bin/env python3
"""`sparseserve report` from outside, and its page in a real browser.

Usage: tests/e2e/report_test.py BINARY [unittest options]
Exits with 77 (a skip for ctest) when no Chromium is installed; what needs none has run then.
"""
import csv
import html
import io
import json
import re
import shutil
import sys
import unittest

import harness
from browser import Browser, find_browser
from harness import BinaryTest, Case, main

# Two systems at three rates with two seeds, and a pool that holds no request.
SWEEP = """\
name: tiny
experiment: e.yaml
set: {workload.num_requests: 8, warmup_requests: 2}
axes:
  - {key: workload.rate, values: [2/s, 8/s, 32/s]}
  - {key: memory.kv_pool, values: [2GB, 1MB]}
replications: 2
metrics: [output_throughput, mean_ttft_ms, kv.hit_rate]
"""
PLAN = """\
name: small
experiment: e.yaml
set: {fidelity: {mode: sampled, share: 0.03125}, warmup_requests: 5}
demand: 12/s
slo: {definition: distserve, ttft: 3s, tpot: 60ms}
axes:
  - {key: hardware.machine, values: [h100-sxm-pcie5, a100-40g-pcie4]}
prices: {h100-sxm-pcie5: 2.5, a100-40g-pcie4: 1.2}
search: {precision: 0.1, seeds: 2, verify_seeds: 1}
"""
HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>&\"'"
CHARTS = ["cdf-ttft", "cdf-tpot", "cdf-e2el", "batch", "queue", "hbm", "dram", "hit", "h2d", "d2h",
          "h2d_busy", "stalls"]
USAGE = [
    Case("nothing", ["report"], "report: no directory is given; expected sparseserve report DIR"),
    Case("missing", ["report", "none"], "none: no such directory"),
    Case("no run", ["report", "."], ".: holds no run; expected a directory with summary.json"),
    Case("no store", ["report", "a.sqlite"], "a.sqlite: no sound store", {"a.sqlite": "my notes\n" * 90}),
    Case("a sweep beside a run", ["report", "a.sqlite", "b"],
         "a.sqlite: a file, hence a sweep, beside others; expected one sweep or plan", {"a.sqlite": "x"}),
    Case("half a plan", ["report", "p"], "p/plan.csv:1: ", {"p/plan.csv": "model,machine\n"}),
    Case("unknown option", ["report", "a", "--json", "-"], "report: unrecognised option '--json'"),
]
# Points of a canvas that are not transparent, in every canvas of a chart.
PAINTED = """(id) => Math.max(...[...document.querySelectorAll('#chart-' + id + ' canvas')].map((c) =>
  c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 == 3 && v > 0).length))"""


class ReportCase(BinaryTest):
    def report(self, *arguments, code=0):
        result = self.run_binary("report", *arguments)
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def data(self, path):
        page = (self.here / path).read_text()
        return json.loads(re.search(r'id="data">(.*?)</script>', page).group(1))


    def sweep(self):
        self.write("e.yaml", harness.small("[sparseserve]", "[vllm-s, sparseserve]"))
        self.write("s.yaml", SWEEP)
        result = self.run_binary("sweep", "s.yaml", "--data", harness.ROOT, "--out", "s.sqlite")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.report("s.sqlite").stderr, "report in s.html\n")

    def plan(self):
        self.write("e.yaml", harness.small("[sparseserve]", "[vllm, sparseserve]").replace(
            "mean: 1500", "mean: 6000").replace("num_requests: 20", "num_requests: 40"))
        self.write("p.yaml", PLAN)
        result = self.run_binary("plan", "p.yaml", "--data", harness.ROOT, "--out", "plan")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.report("plan").stderr, "report in plan/report.html\n")


class ReportTest(ReportCase):
    def test_bad_usage(self):
        self.check(USAGE)

    def test_figures_are_those_of_the_summary(self):
        self.simulate()
        result = self.report("out")
        self.assertEqual((result.stdout, result.stderr), ("", "report in out/report.html\n"))
        run, summary = self.data("out/report.html")["runs"][0], self.summary()
        for name in ("completed", "duration", "output_throughput", "mean_ttft_ms", "p99_itl_ms"):
            self.assertEqual(run["values"][name], summary[name], name)
        series = run["series"]
        share = sum(series["attention"]["mean"]) / len(series["attention"]["mean"])
        self.assertAlmostEqual(share, 100 * summary["time_share"]["attention"], delta=1)
        gigabytes = sum(series["d2h"]["mean"]) * series["width_s"]
        self.assertAlmostEqual(gigabytes, summary["kv"]["d2h_bytes"] / 1e9, delta=gigabytes * 0.02)

    def test_simulate_leaves_a_report_and_the_same_one_each_time(self):
        self.simulate("--report")
        first = (self.here / "out/report.html").read_bytes()
        self.report("out", "--out", "again.html", "--title", self.page_title(first))
        self.assertEqual((self.here / "again.html").read_bytes(), first)

    def test_figures_are_drawn_where_gnuplot_is_and_left_as_scripts_where_not(self):
        self.write("e.yaml", harness.small("[sparseserve]", "[vllm, sparseserve]"))
        self.simulate()
        path = self.here / "out/sparseserve/summary.json"
        hostile = "it's `id` $(id) \"x\" \\"
        path.write_text(json.dumps({**json.loads(path.read_text()), "system": hostile}))
        result = self.run_binary("report", "out", "--figures", "scripts", env={"PATH": "/nowhere"})
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("10 figures in scripts, not drawn: is gnuplot installed?", result.stderr)
        names = {path.stem for path in (self.here / "scripts").iterdir()}
        self.assertEqual({path.suffix for path in (self.here / "scripts").iterdir()}, {".gp", ".tsv"})
        rows = [line for line in (self.here / "scripts/cdf_ttft.tsv").read_text().splitlines() if line]
        self.assertEqual(sum(not line.startswith("#") for line in rows), 40)  # 20 requests of each
        if shutil.which("gnuplot") is None:
            return
        result = self.report("out", "--figures", "figures")
        # gnuplot warns that the queue is empty throughout.
        self.assertTrue(result.stderr.endswith("\n10 figures in figures\n"), result.stderr)
        for name in names:
            picture = (self.here / f"figures/{name}.svg").read_text()
            self.assertIn("<path", picture)
            self.assertGreater((self.here / f"figures/{name}.png").stat().st_size, 5000, name)
        self.assertIn("it&apos;s `id` $(id)", (self.here / "figures/batch.svg").read_text().replace("'", "&apos;"))

    def page_title(self, page):
        return html.unescape(re.search("<title>(.*?)</title>", page.decode()).group(1))


@unittest.skipIf(find_browser() is None, "no Chromium is installed")
class BrowserTest(ReportCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.__exit__)

    def open(self, path="out/report.html", **metrics):
        page = self.browser.open(self.here / path, **metrics)
        self.assertEqual(page.problems, [])
        return page

    def two_systems(self):
        """vllm and sparseserve, the second with a name that wants to be markup."""
        self.write("e.yaml", harness.small("[sparseserve]", "[vllm, sparseserve]"))
        self.simulate()
        path = self.here / "out/sparseserve/summary.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "system": HOSTILE}))
        self.report("out")

    def test_every_chart_has_its_data(self):
        self.two_systems()
        page = self.open()
        self.assertLess(page.load_s, 20)
        charts = page.evaluate("Object.keys(sparseserveReport.charts)")
        self.assertEqual(sorted(charts), sorted(CHARTS))
        for chart in CHARTS:
            with self.subTest(chart):
                self.assertGreater(page.evaluate(f"sparseserveReport.charts['{chart}'].graph.numRows()"), 10)
                self.assertGreater(page.evaluate(f"({PAINTED})('{chart}')"), 200)

    def test_hostile_names_stay_text(self):
        self.two_systems()
        page = self.open()
        self.assertEqual(page.evaluate("document.title"), "llama3-8b-262k on h100-sxm-pcie5")
        self.assertEqual(page.evaluate("document.querySelectorAll('img').length"), 0)
        self.assertEqual(page.evaluate("document.querySelectorAll('.chip')[0].textContent"), HOSTILE)

    def test_a_sweep_has_lines_along_its_rate_and_effects(self):
        self.sweep()
        result = self.run_binary("sweep", "export", "s.sqlite")
        values = [float(row["output_throughput"]) for row in csv.DictReader(io.StringIO(result.stdout))
                  if (row["workload.rate"], row["memory.kv_pool"], row["system"]) == ("8/s", "2GB", "sparseserve")]
        page = self.open("s.html")
        charts = page.evaluate("Object.keys(sparseserveReport.charts)")
        self.assertEqual(sorted(charts), ["line-kv-hit_rate", "line-mean_ttft_ms", "line-output_throughput"])
        for chart in charts:
            self.assertEqual(page.evaluate(f"sparseserveReport.charts['{chart}'].graph.numRows()"), 3)
            self.assertGreater(page.evaluate(f"({PAINTED})('{chart}')"), 200)
        mean = page.evaluate("sparseserveReport.charts['line-output_throughput'].graph.file_[1][2][1]")
        self.assertAlmostEqual(mean / (sum(values) / 2), 1, delta=1e-4)
        self.assertEqual(page.evaluate("document.querySelectorAll('#effects details').length"), 3)
        self.assertEqual(page.evaluate("document.querySelectorAll('#effects .range').length"), 9)  # 3 rates
        self.assertIn("cannot run: ", page.evaluate("document.querySelector('#effects td.reason').textContent"))
        # Where nothing can run no chart is drawn; back at the first choice all are.
        choose = "{const c = document.getElementById('others'); c.value = %d; c.onchange()}"
        page.evaluate(choose % 1)
        self.assertEqual(page.evaluate("Object.keys(sparseserveReport.charts).length"), 0)
        page.evaluate(choose % 0)
        self.assertEqual(page.evaluate("Object.keys(sparseserveReport.charts).length"), 3)
        self.assertEqual(page.problems, [])
        page = self.open("s.html", width=390, height=800, mobile=True, scale=2)
        self.assertEqual(page.evaluate("document.documentElement.scrollWidth"), 390)

    def test_a_plan_has_its_ranking_and_frontier(self):
        self.plan()
        with open(self.here / "plan/plan.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        with open(self.here / "plan/pareto.csv", newline="") as file:
            frontier = list(csv.DictReader(file))
        page = self.open("plan/report.html")
        self.assertEqual(page.evaluate("document.querySelectorAll('#ranking tbody tr').length"), len(rows))
        best = page.evaluate("document.querySelector('.conclusions li').textContent")
        self.assertIn(rows[0]["hardware.machine"], best)
        self.assertIn(f"{rows[0]['gpus']} GPU", best)
        self.assertEqual(page.evaluate("document.querySelectorAll('#bars-rate .range').length"), len(rows))
        self.assertEqual(page.evaluate("document.querySelectorAll('#bars-cost .bar').length"), len(rows))
        drawn = page.evaluate("sparseserveReport.charts.pareto.graph.file_.map((r) => [r[0], r[r.length - 1]])"
                              ".filter((p) => p[1] !== null)")
        self.assertEqual(len(drawn), 2 * len(frontier) - 1)  # steps
        self.assertAlmostEqual(drawn[0][1] / float(frontier[-1]["tokens/s/gpu"]), 1, delta=1e-4)
        self.assertGreater(page.evaluate(f"({PAINTED})('pareto')"), 200)
        page = self.open("plan/report.html", width=390, height=800, mobile=True, scale=2)
        self.assertEqual(page.evaluate("document.documentElement.scrollWidth"), 390)

    def test_a_series_goes_and_comes_back(self):
        self.two_systems()
        page = self.open()
        shown = "sparseserveReport.charts['cdf-ttft'].graph.visibility().join()"
        click = "document.querySelectorAll('.chip')[1].click()"
        both = page.evaluate(f"({PAINTED})('cdf-ttft')")
        self.assertEqual(page.evaluate(shown), "true,true")
        page.evaluate(click)
        self.assertEqual(page.evaluate(shown), "true,false")
        self.assertEqual(page.evaluate("document.querySelectorAll('.chip')[1].ariaPressed"), "false")
        self.assertLess(page.evaluate(f"({PAINTED})('cdf-ttft')"), both)
        page.evaluate(click)
        self.assertEqual(page.evaluate(f"({PAINTED})('cdf-ttft')"), both)

    def test_hover_tells_values_and_drag_zooms_all_series(self):
        self.two_systems()
        page = self.open()
        left, top, width = page.evaluate(
            "document.getElementById('chart-batch').scrollIntoView({block: 'center'});"
            "(({left, top, width}) => [left, top, width])"
            "(document.getElementById('chart-batch').getBoundingClientRect())")
        page.move_mouse(left + width * 0.4, top + 80)
        tip = page.evaluate("document.querySelector('#chart-batch + .tip:not([hidden])')?.innerText")
        self.assertRegex(tip or "", r"^from [\d.]+ s\n(.|\n)*vllm")
        window = "sparseserveReport.charts['{}'].graph.xAxisRange()"
        before = page.evaluate(window.format("queue"))
        page.drag(left + width * 0.4, left + width * 0.6, top + 80)
        zoomed = page.evaluate(window.format("batch"))
        self.assertLess(zoomed[1] - zoomed[0], 0.5 * (before[1] - before[0]))
        self.assertEqual(page.evaluate(window.format("queue")), zoomed)
        page.evaluate("document.getElementById('reset').click()")
        self.assertEqual(page.evaluate(window.format("queue")), before)
        self.assertEqual(page.problems, [])

    def test_colours_follow_the_system_and_the_button(self):
        self.simulate()
        self.report("out")
        page = self.open(dark=True)
        theme = "document.documentElement.dataset.theme + ' ' + getComputedStyle(document.body.parentNode).backgroundColor"
        line = "sparseserveReport.charts.batch.graph.getColors()[0]"
        dark, dark_line = page.evaluate(theme), page.evaluate(line)
        self.assertTrue(dark.startswith("dark"), dark)
        page.evaluate("document.getElementById('theme').click()")
        light = page.evaluate(theme)
        self.assertEqual(light, "light rgb(255, 255, 255)")
        self.assertNotEqual(page.evaluate(line), dark_line)
        page.evaluate("document.getElementById('theme').click()")
        self.assertEqual((page.evaluate(theme), page.evaluate(line)), (dark, dark_line))
        page.evaluate("document.getElementById('theme').click()")
        page.set_dark(False)  # automatic again: the system changes
        self.assertEqual(page.wait_until(theme, light), light)

    def test_bands_and_the_choice_of_a_run_redraw(self):
        self.two_systems()
        page = self.open()
        bars = "sparseserveReport.charts.batch.graph.getOption('customBars')"
        self.assertEqual(page.evaluate(bars), True)
        page.evaluate("document.getElementById('bands').click()")
        self.assertEqual(page.evaluate(bars), False)
        shares = "sparseserveReport.charts.stalls.graph.file_.reduce((sum, row) => sum + row[2], 0)"
        second = page.evaluate(shares)
        page.evaluate("{const choice = document.getElementById('stall-run'); choice.value = 1 - choice.value;"
                      "choice.onchange()}")
        self.assertNotEqual(page.evaluate(shares), second)
        self.assertEqual(page.problems, [])

    def test_a_phone_needs_no_sideways_scrolling_and_paper_is_light(self):
        self.two_systems()
        page = self.open(width=390, height=800, mobile=True, scale=2)
        self.assertEqual(page.evaluate("document.documentElement.scrollWidth"), 390)
        page = self.open(dark=True)
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        self.assertEqual(page.evaluate("document.documentElement.dataset.theme"), "light")
        for chart in CHARTS:
            over = page.evaluate(f"(() => {{const c = document.getElementById('chart-{chart}');"
                                 "return c.querySelector('canvas').getBoundingClientRect().right"
                                 " - c.parentNode.getBoundingClientRect().right})()")
            self.assertLessEqual(over, 1, chart)
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        self.assertEqual(page.evaluate("document.documentElement.dataset.theme"), "dark")
        page.print_pdf(self.here / "report.pdf")
        self.assertGreater((self.here / "report.pdf").stat().st_size, 20_000)


def skip_without_browser():
    """Runs what needs no browser; 77 when that passes and the rest was left out."""
    program = unittest.main(exit=False)
    if program.result.wasSuccessful() and find_browser() is None:
        print("report_test: skipped in part, no Chromium is installed (scripts/install_deps --with-checks)",
              file=sys.stderr)
        sys.exit(77)
    sys.exit(not program.result.wasSuccessful())


if __name__ == "__main__":
    if harness.BINARY is None:
        main()
    skip_without_browser()
