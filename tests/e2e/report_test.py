#!/usr/bin/env python3
"""`sparseserve report` from outside, and its page in a real browser.

Usage: tests/e2e/report_test.py BINARY [unittest options]
Exits with 77 (a skip for ctest) when no Chromium is installed; what needs none has run then.
"""
import html
import json
import re
import shutil
import sys
import unittest

import harness
from browser import Browser, find_browser
from harness import BinaryTest, Case, main

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>&\"'"
CHARTS = ["cdf-ttft", "cdf-tpot", "cdf-e2el", "batch", "queue", "hbm", "dram", "hit", "h2d", "d2h",
          "h2d_busy", "stalls"]
USAGE = [
    Case("nothing", ["report"], "report: no directory is given; expected sparseserve report DIR"),
    Case("missing", ["report", "none"], "none: no such directory"),
    Case("no run", ["report", "."], ".: holds no run; expected a directory with summary.json"),
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
