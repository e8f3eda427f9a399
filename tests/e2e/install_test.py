#!/usr/bin/env python3
"""What `cmake --install` leaves works without the source tree, and where data is looked for.

Usage: tests/e2e/install_test.py BINARY [unittest options]     BINARY lies in its build directory
"""
import re
import shutil
import subprocess
import tempfile
import pathlib

from harness import BINARY, ROOT, BinaryTest, main

MODEL = ROOT / "models/llm/configs/lwm-7b.json"
LINK = re.compile(r"\]\(([^)#:]+\.md)(?:#[^)]*)?\)")


class InstallTest(BinaryTest):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="sparseserve-install-")
        cls.addClassCleanup(temporary.cleanup)
        cls.prefix = pathlib.Path(temporary.name) / "a prefix"
        subprocess.run(["cmake", "--install", BINARY.parent, "--prefix", cls.prefix], check=True,
                       stdout=subprocess.DEVNULL)
        cls.data = cls.prefix / "share/sparseserve"

    def run_installed(self, *arguments):
        return subprocess.run([self.prefix / "bin/sparseserve", *map(str, arguments)], text=True,
                              cwd=self.here, timeout=60, capture_output=True)

    def knows(self, run, model, *arguments):
        """Whether the binary finds the model by name."""
        result = run("model", "info", model, *arguments)
        self.assertIn(result.returncode, (0, 2), result.stderr)
        return result.returncode == 0

    def test_data_is_that_given_else_here_else_installed_else_of_the_source(self):
        folders = {name: self.here / name for name in ("given", "here")}
        for name, folder in [*folders.items(), ("installed", self.data)]:
            (folder / "configs/systems").mkdir(parents=True, exist_ok=True)
            (folder / "models/llm/configs").mkdir(parents=True, exist_ok=True)
            shutil.copy(MODEL, folder / f"models/llm/configs/only-{name}.json")
        self.assertTrue(self.knows(self.run_installed, "only-installed"))
        self.assertFalse(self.knows(self.run_installed, "only-here"))
        self.assertTrue(self.knows(self.run_installed, "only-given", "--data", folders["given"]))
        self.assertFalse(self.knows(self.run_installed, "only-installed", "--data", folders["given"]))
        self.assertTrue(self.knows(self.run_binary, "lwm-7b"))
        self.assertFalse(self.knows(self.run_binary, "only-installed"))
        self.here = folders["here"]
        self.assertTrue(self.knows(self.run_installed, "only-here"))
        self.assertFalse(self.knows(self.run_installed, "only-installed"))

    def test_what_comes_along_runs(self):
        for name in ("longbench", "mooncake"):
            result = self.run_installed(
                "simulate", self.data / f"configs/run/{name}.yaml", "--set", "workload.num_requests=3",
                "--set", "workload.max_prompt=9000", "--set", "systems=[vllm, sparseserve]")
            self.assertEqual(result.returncode, 0, result.stderr)
            resolved = (self.here / f"out/{name}/vllm/config.resolved.yaml").read_text()
            self.assertNotIn(str(ROOT) + "/", resolved)

    def test_all_data_is_there(self):
        for pattern in ("configs/**/*.yaml", "models/*/configs/*", "calibration/devices/*",
                        "traces/longbench_lengths.csv", "traces/samples/*"):
            files = list(ROOT.glob(pattern))
            self.assertGreater(len(files), 0, pattern)
            for file in files:
                copy = self.data / file.relative_to(ROOT)
                self.assertEqual(copy.read_bytes(), file.read_bytes(), file)

    def test_links_between_the_texts_hold(self):
        texts = sorted((self.prefix / "share/doc/sparseserve").rglob("*.md"))
        self.assertGreater(len(texts), 10)
        for text in texts:
            for link in LINK.findall(text.read_text()):
                self.assertTrue((text.parent / link).exists(), f"{text.name}: {link}")

    def test_manual_and_completion_are_there(self):
        page = self.prefix / "share/man/man1/sparseserve.1"
        self.assertTrue(page.read_text().startswith('.\\" Made by'))
        completion = self.prefix / "share/bash-completion/completions/sparseserve"
        self.assertIn("complete -F _sparseserve sparseserve", completion.read_text())


if __name__ == "__main__":
    main()
