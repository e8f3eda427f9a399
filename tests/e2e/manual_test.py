#!/usr/bin/env python3
"""The manual page and the bash completion say what --help says: every verb, every option.

Usage: tests/e2e/manual_test.py BINARY [unittest options]
"""
import re
import shutil
import subprocess
import sys
import unittest

from harness import BINARY, ROOT, BinaryTest, main

# Prints what the completion offers for the words given.
COMPLETE = """\
source completion
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_sparseserve 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


def output(*command):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


class ManualTest(BinaryTest):
    @classmethod
    def setUpClass(cls):
        cls.verbs = re.findall(r"^  ([a-z]+)  +\w", output(BINARY, "--help"), re.MULTILINE)
        cls.helps = {verb: output(BINARY, verb, "--help") for verb in cls.verbs}
        cls.made = {kind: output(sys.executable, "-B", ROOT / "scripts/make_manual.py", BINARY, kind)
                    for kind in ("man", "completion")}

    def options(self, verb):
        return re.findall(r"^  (?:-\w \[ )?(--[a-z-]+)", self.helps[verb], re.MULTILINE)

    def complete(self, *words):
        result = subprocess.run(["bash", "-c", COMPLETE, "bash", *words], cwd=self.here,
                                capture_output=True, text=True)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout.split()

    def test_completion_offers_every_verb_and_option(self):
        self.write("completion", self.made["completion"])
        self.assertGreaterEqual(len(self.verbs), 10)
        self.assertEqual(self.complete("sparseserve", ""), [*self.verbs, "--help", "--version"])
        for verb in self.verbs:
            self.assertGreaterEqual(len(self.options(verb)), 4, verb)
            self.assertEqual(self.complete("sparseserve", verb, "--"), self.options(verb))
        self.assertEqual(self.complete("sparseserve", "sweep", "me"), ["merge"])
        self.assertEqual(self.complete("sparseserve", "trace", "g"), ["generate"])

    def test_completion_offers_files_where_files_are_meant(self):
        self.write("completion", self.made["completion"])
        self.write("dir/my file.yaml", "")
        self.assertEqual(self.complete("sparseserve", "simulate", "di"), ["dir"])
        self.assertEqual(self.complete("sparseserve", "simulate", "--out", "co"), [])  # a file
        self.assertEqual(self.complete("sparseserve", "calibrate", "--from", "co"), ["completion"])
        self.assertEqual(self.complete("sparseserve", "simulate", "--seed", "co"), [])

    def test_manual_has_every_verb_and_option(self):
        page = self.made["man"]
        sections = dict(re.findall(r"^\.SH (.*)\n((?:(?!\.SH ).*\n)*)", page, re.MULTILINE))
        for verb in self.verbs:
            named = re.findall(r"^(?:\\fB\\-\w\\fR, )?\\fB(\\-\\-[a-z\\-]+)\\fR",
                               sections[verb.upper()], re.MULTILINE)
            self.assertEqual([name.replace("\\", "") for name in named], self.options(verb))

    @unittest.skipUnless(shutil.which("groff"), "groff is not installed")
    def test_manual_renders_without_warnings(self):
        self.write("sparseserve.1", self.made["man"])
        result = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "sparseserve.1"], cwd=self.here,
                                capture_output=True, text=True)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        text = re.sub(r".\x08|\x1b\[[0-9;]*m", "", result.stdout)  # bold
        self.assertIn("--record-selection FILE", text)


if __name__ == "__main__":
    main()
