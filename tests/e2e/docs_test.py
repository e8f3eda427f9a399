#!/usr/bin/env python3
"""The commands of README, docs/ and the help texts work as they stand, and links between texts hold.

Usage: tests/e2e/docs_test.py BINARY [unittest options]
Commands are the indented lines that begin with build/release/sparseserve. They run in the order of
their page, with fewer requests.
"""
import re
import shlex

from harness import ROOT, BinaryTest, main

FEW = ["--set", "workload.num_requests=3", "--set", "workload.max_prompt=9000"]
NO_WARMUP = ["--set", "warmup_requests=0"]
# What makes the commands of a verb short; a verb that is not here is unknown.
SHORTER = {
    "simulate": FEW,
    "live": ["--draws", "2", "--set", "workload.num_requests=3", "--set", "systems=[sparseserve]"],
    "sweep": FEW + NO_WARMUP,
    "plan": ["--set", "workload.num_requests=4", "--set", "workload.max_prompt=9000", "--set",
             "systems=[vllm]", *NO_WARMUP],
    "calibrate": [], "trace": [], "model": [], "report": [], "explain": [], "compare": [],
}
READS_A_STORE = {"show", "export", "merge"}  # behind sweep: these take no --set
# What the tutorial tells to look at.
SHOWN = ["prompt tokens", "burstiness", "flags", "vs first", "what if", "req/s per replica", "replicas",
         "bound by", "verified", "pays", "err %", "gap"]
LINK = re.compile(r"\]\(([^)#:]+)(?:#([^)]*))?\)")


def commands(text):
    joined = re.sub(r"\\\n", "", text)
    return [shlex.split(line)[1:] for line in joined.splitlines()
            if line.startswith(("    build/release/sparseserve ", "  sparseserve "))]


def shorter(arguments):
    verb, *rest = arguments
    if "--budget" in rest:
        rest[rest.index("--budget") + 1] = "2s"
    return [verb, *rest, *([] if READS_A_STORE & set(rest) else SHORTER[verb])]


def anchors(text):
    """Returns the anchors of the headings of a page, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class ExamplesTest(BinaryTest):
    def setUp(self):
        super().setUp()
        for folder in ("calibration", "configs", "models", "traces"):
            (self.here / folder).symlink_to(ROOT / folder)

    def check_commands(self, found, least):
        """All of them work; returns what they print."""
        self.assertGreaterEqual(len(found), least)
        printed = []
        for arguments in found:
            self.assertIn(arguments[0], SHORTER, "an unknown verb")
            result = self.run_binary(*shorter(arguments))
            # How far a short measurement is off is not what is tested.
            accepted = (0, 4) if arguments[0] == "compare" else (0,)
            self.assertIn(result.returncode, accepted, f"{arguments}: {result.stderr}")
            printed.append(result.stdout)
        return "".join(printed)

    def test_readme(self):
        self.check_commands(commands((ROOT / "README.md").read_text()), 6)

    def test_tutorial(self):
        text = (ROOT / "docs/tutorial.md").read_text()
        printed = self.check_commands(commands(text), 15)
        for words in SHOWN:
            self.assertIn(f"`{words}`", text)
            self.assertIn(words, printed)

    def test_extending(self):
        self.check_commands(commands((ROOT / "docs/extending.md").read_text()), 1)

    def test_help(self):
        self.write("azure.csv", (ROOT / "traces/samples/azure_2023.csv").read_text())
        text = "".join(self.run_binary(*verb, "--help").stdout
                       for verb in ([], ["simulate"], ["trace"], ["model"]))
        found = [c for c in commands(text) if not any("~" in word for word in c)]
        self.check_commands(found, 8)


class LinksTest(BinaryTest):
    def test_links_lead_somewhere(self):
        folders = ("calibration", "configs", "docs", "kernels", "models", "results", "sim", "tests",
                   "traces")
        pages = [ROOT / "README.md", *(page for name in folders for page in (ROOT / name).rglob("*.md"))]
        links = 0
        for page in pages:
            for path, anchor in LINK.findall(page.read_text()):
                target = page.parent / path
                self.assertTrue(target.exists(), f"{page.relative_to(ROOT)}: {path}")
                if anchor:
                    self.assertIn(anchor, anchors(target.read_text()), f"{page.relative_to(ROOT)}")
                links += 1
        self.assertGreater(links, 30)


if __name__ == "__main__":
    main()
