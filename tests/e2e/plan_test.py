#!/usr/bin/env python3
"""Plans from outside: closed forms, rankings that hold, infeasible demands, resumption.

Usage: tests/e2e/plan_test.py BINARY [unittest options]
"""
import csv
import math
import re

from harness import BINARY, ROOT, SMALL, BinaryTest, Case, main

# A server whose time is its engine's: one request at a time, one iteration each, on a machine so
# fast that its work takes no time beside the host's constant 100 ms.
QUEUE = """\
name: queue
systems: [vllm]
model: small-live
hardware: {machine: h100-sxm-pcie5, time_scale: 0.01}
workload:
  source: synthetic
  rate: 1/s
  num_requests: 60000
  prompt: {kind: constant, mean: 1}
  output: {kind: constant, mean: 1}
engine: {host_overhead: 100ms}
scheduler: {max_requests: 1}
"""
PLAN = """\
name: q
experiment: e.yaml
slo: {definition: sarathi, delay_mean: 200ms}
prices: {h100-sxm-pcie5: 2}
search: {precision: 0.001, seeds: 2, verify_seeds: 1, calibration_error: 0.001}
"""


class PlanTest(BinaryTest):
    def plan(self, *arguments, code=0):
        result = self.run_binary("plan", "p.yaml", "--data", ROOT, "--out", "out", *arguments)
        self.assertEqual(result.returncode, code, result.stderr)
        with open(self.here / "out/plan.csv", newline="") as file:
            return result.stdout, list(csv.DictReader(file))


class ClosedFormTest(PlanTest):
    def test_m_d_1(self):
        """Mean wait rho / (2 mu (1 - rho)) = 0.2 s with mu = 10/s: rho = 0.8."""
        self.write("e.yaml", QUEUE)
        self.write("p.yaml", PLAN)
        _, rows = self.plan()
        self.assertEqual(rows[0]["binding"], "scheduling delay mean")
        self.assertAlmostEqual(float(rows[0]["rate"]), 8.0, delta=0.08)

    def test_m_m_k(self):
        """Four servers, one queue: the rate at which Erlang's C gives the mean wait.

        The service time is exponential because the prompt length is and GEMMs are all that takes
        time: a record whose GEMM runs at 1e-5 of the peak, everything else at its best."""
        # The mean service time is measured, not assumed: one request of the mean length alone.
        record = (ROOT / "calibration/devices/h100-sxm-pcie5.yaml").read_text()
        record = re.sub(r"(gemm\.compute:\n +value: )[0-9.]+", r"\g<1>0.00002", record)
        self.assertIn("0.00002", record)
        record = re.sub(r"^name: .*$", "name: slow-gemm", record, flags=re.M)
        record = record.replace("name: slow-gemm", "name: slow-gemm\nmachine: h100-sxm-pcie5", 1)
        self.write("slow.yaml", record)
        text = (QUEUE.replace("time_scale: 0.01", "calibration: slow.yaml")
                .replace("100ms", "0").replace("num_requests: 60000", "num_requests: 40000")
                .replace("prompt: {kind: constant, mean: 1}", "prompt: {kind: exponential, mean: 400, max: 8000}"))
        self.write("e.yaml", text.replace("hardware: {", "hardware: {replicas: 4, router: central-queue, "))
        self.simulate("--set", "workload.prompt={kind: constant, mean: 400}", "--set",
                      "hardware.replicas=1", "--set", "workload.num_requests=2", "--set",
                      "workload.rate=0.01/s", "--set", "scheduler.max_batch_tokens=8192")
        service = self.summary("out/vllm")["mean_ttft_ms"] / 1e3
        wait = 0.5 * service
        self.write("p.yaml", PLAN.replace("delay_mean: 200ms", f"delay_mean: {wait}s")
                   .replace("experiment: e.yaml",
                            "experiment: e.yaml\nset: {scheduler.max_batch_tokens: 8192}")
                   .replace("seeds: 2", "seeds: 3"))
        _, rows = self.plan("--demand", "0.1/s")
        self.assertAlmostEqual(float(rows[0]["rate"]) / erlang_c_rate(4, service, wait), 1, delta=0.01)


def erlang_c_rate(servers, service, wait):
    """The arrival rate at which an M/M/k queue has this mean wait, by bisection."""
    def mean_wait(rate):
        load = rate * service
        terms = sum(load ** n / math.factorial(n) for n in range(servers))
        last = load ** servers / math.factorial(servers) * servers / (servers - load)
        return last / (terms + last) * service / (servers - load)
    low, high = 0.0, servers / service
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if mean_wait(middle) < wait else (low, middle)
    return low


SERVING = SMALL.replace("systems: [sparseserve]", "systems: [vllm, sparseserve]").replace(
    "mean: 1500", "mean: 6000").replace("num_requests: 20", "num_requests: 40")
SERVING_PLAN = """\
name: small
experiment: e.yaml
set: {fidelity: {mode: sampled, share: 0.03125}, warmup_requests: 5}
demand: 12/s
slo: {definition: distserve, ttft: 3s, tpot: 60ms}
axes:
  - {key: hardware.machine, values: [h100-sxm-pcie5, a100-40g-pcie4]}
prices: {h100-sxm-pcie5: 2.5, a100-40g-pcie4: 1.2}
search: {precision: 0.1, seeds: 2, verify_seeds: 2}
"""


class ServingTest(PlanTest):
    def setUp(self):
        super().setUp()
        self.write("e.yaml", SERVING)
        self.write("p.yaml", SERVING_PLAN)

    def test_ranking_prices_and_files(self):
        text, rows = self.plan()
        self.assertEqual(len(rows), 4)
        costs = [float(row["cost_per_hour"]) for row in rows]
        self.assertEqual(costs, sorted(costs))
        for row in rows:
            rate, replicas = float(row["rate"]), int(row["replicas"])
            self.assertGreaterEqual(replicas, math.ceil(12 / rate - 1e-6))
            self.assertLessEqual(float(row["rate_low"]), rate)
            self.assertGreaterEqual(float(row["rate_high"]), rate)
            price = 2.5 if row["hardware.machine"].startswith("h100") else 1.2
            self.assertAlmostEqual(float(row["cost_per_hour"]), price * int(row["gpus"]))
        self.assertEqual((rows[0]["verified_seeds"], rows[0]["held_seeds"]), ("2", "2"))
        self.assertIn("held in 2/2 seeds", text)
        self.assertIn("assumed", text)
        with open(self.here / "out/best_config_topn.csv", newline="") as file:
            best = list(csv.DictReader(file))
        self.assertEqual(list(best[0])[:12], "model,isl,osl,prefix,concurrency,request_rate,bs,global_bs,"
                         "ttft,tpot,request_latency,seq/s".split(","))
        self.assertEqual(best[0]["system"], rows[0]["machine"])
        with open(self.here / "out/pareto.csv", newline="") as file:
            pareto = [(float(r["tokens/s/user"]), float(r["tokens/s/gpu"])) for r in csv.DictReader(file)]
        self.assertEqual(pareto, sorted(pareto, key=lambda p: (-p[0], p[1])))
        self.assertGreater(len(pareto), 2)

    def test_threads_and_a_second_run_change_nothing(self):
        first = self.plan("--threads", 1)
        plan = {name: (self.here / "out" / name).read_bytes()
                for name in ("plan.md", "plan.csv", "pareto.csv", "pareto.gp")}
        self.assertEqual(self.plan("--threads", 2), first)  # from the store
        (self.here / "out/plan.sqlite").unlink()
        self.assertEqual(self.plan("--threads", 2), first)
        for name, content in plan.items():
            self.assertEqual((self.here / "out" / name).read_bytes(), content, name)

    def test_infeasible_is_exit_3_with_the_nearest_relaxation(self):
        self.write("p.yaml", SERVING_PLAN.replace("ttft: 3s", "ttft: 1ms"))
        text, rows = self.plan(code=3)
        self.assertIn("No candidate holds the service level. Nearest:", text)
        self.assertRegex(text, r"within limits is 0, the limit 0.9, with a mean TTFT of \d")
        self.assertTrue(all(row["replicas"] == "0" for row in rows))

    def test_what_the_plan_decides_is_not_set_from_outside(self):
        options = ["plan", "p.yaml", "--data", ROOT, "--out", "x", "--set"]
        files = {"p.yaml": SERVING_PLAN, "e.yaml": SERVING}
        self.check([
            Case("slo", [*options, "slo.ttft=1s"], "--set slo.ttft: the plan's own service level", files),
            Case("axis", [*options, "hardware.machine=gh200"],
                 "--set hardware.machine: the axis 'hardware.machine' sets it", files),
        ])

    def test_limits_of_the_experiment_do_not_count(self):
        expected = self.plan()
        self.write("e.yaml", SERVING + "slo: {e2el: 1ms}\n")
        self.assertEqual(self.plan(), expected)

    def test_bad_files(self):
        def bad(old, new, message):
            return Case(message, ["plan", "p.yaml", "--data", ROOT, "--out", "x"], message,
                        {"p.yaml": SERVING_PLAN.replace(old, new), "e.yaml": SERVING})
        self.check([
            bad("slo: {definition: distserve, ttft: 3s, tpot: 60ms}", "", "p.yaml:1: slo: missing"),
            bad("distserve", "distserv", "p.yaml:5: slo.definition: 'distserv' is not known here"),
            bad("ttft: 3s, tpot: 60ms", "attainment: 0.9", "p.yaml:5: slo: no limit is set"),
            bad("ttft: 3s", "delay_mean: 3s", "p.yaml:5: slo.delay_mean: does not belong"),
            bad("ttft: 3s", "e2el: 3s", "p.yaml:5: slo.e2el: does not belong"),
            bad("12/s", "12", "p.yaml:4: demand: '12' has no unit"),
            bad("precision: 0.1", "precision: 2", "p.yaml:9: search.precision: '2' is out of range"),
            bad("h100-sxm-pcie5: 2.5", "h100-sxm-pcie5: 0", "p.yaml:8: prices.h100-sxm-pcie5: '0'"),
            bad("a100-40g-pcie4: 1.2", "a100-40g-pcie: 1.2",
                "p.yaml:8: prices: no price of 'a100-40g-pcie4'"),
            bad("[h100-sxm-pcie5, a100-40g-pcie4]", "[h100-sxm-pci5]",
                "p.yaml:7: hardware.machine: no machine is called 'h100-sxm-pci5'"),
        ])


if __name__ == "__main__":
    main()
