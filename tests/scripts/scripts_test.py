"""Tests of the shell scripts, in a copy of scripts/ with stand-ins for apt-get, cmake and ctest.

The stand-ins append their command line to a log; what the scripts decide is read from there.
"""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TOOLS = ["bash", "env", "cat", "dirname", "find", "grep", "id", "mkdir", "nproc", "readlink", "rm",
         "sort", "git"]
# ${name}_STATUS sets the exit status; dpkg-query knows the packages of $INSTALLED.
RECORDER = '#!/bin/bash\necho "{name} $*" >> "$LOG"\n{body}\nexit "${{{variable}-0}}"\n'


class ScriptTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name).resolve() / "a checkout"  # a space finds bad quoting
        self.bin = self.root.parent / "bin"
        self.bin.mkdir()
        shutil.copytree(SOURCE / "scripts", self.root / "scripts")
        for tool in TOOLS:
            if path := shutil.which(tool):
                (self.bin / tool).symlink_to(path)
        self.log = self.root.parent / "log"

    def stand_in(self, name, body="", variable="NONE"):
        file = self.bin / name
        file.unlink(missing_ok=True)
        file.write_text(RECORDER.format(name=name, body=body, variable=variable))
        file.chmod(0o755)

    def run_script(self, name, *arguments, cwd="/", **variables):
        environment = {"PATH": str(self.bin), "LOG": str(self.log), **variables}
        return subprocess.run([str(self.root / "scripts" / name), *arguments], env=environment,
                              cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def calls(self, prefix):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line.startswith(prefix)]


class InstallDepsTest(ScriptTest):
    def setUp(self):
        super().setUp()
        self.stand_in("dpkg-query",
                      '[[ " $INSTALLED " == *" ${@: -1} "* ]] && echo installed || exit 1')
        self.stand_in("apt-get",
                      '[[ "$*" != *update* ]] || exit "${UPDATE_STATUS-0}"', "INSTALL_STATUS")
        self.stand_in("id", "echo ${USER_ID-0}")
        self.stand_in("sleep")

    def wanted(self, *arguments):
        self.log.write_text("")
        self.run_script("install_deps", *arguments, INSTALLED="")
        install = self.calls("apt-get")[-1]
        return install.split("--no-install-recommends ")[1]

    def test_does_nothing_when_all_is_there(self):
        installed = self.wanted()
        self.log.write_text("")
        result = self.run_script("install_deps", INSTALLED=installed, USER_ID="1000")
        self.assertEqual((result.returncode, result.stdout, self.calls("apt-get")), (0, "", []))

    def test_installs_only_what_is_missing(self):
        installed = self.wanted().replace("libfmt-dev ", "").replace("cmake ", "")
        self.log.write_text("")
        result = self.run_script("install_deps", INSTALLED=installed)
        self.assertEqual(result.returncode, 0, result.stderr)
        install = self.calls("apt-get")[-1]
        self.assertTrue(install.endswith("--no-install-recommends cmake libfmt-dev"), install)

    def test_checks_are_an_option(self):
        self.assertNotIn("clang-tidy", self.wanted())
        self.assertTrue(self.wanted("--with-checks").endswith(" clang-format clang-tidy chromium gnuplot-nox"))

    def test_update_is_tried_twice(self):
        result = self.run_script("install_deps", INSTALLED="", UPDATE_STATUS="100")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(len(self.calls("apt-get")), 2)
        self.assertIn("apt-get update failed twice; still missing: g++ ", result.stderr)

    def test_failed_install_is_told(self):
        result = self.run_script("install_deps", INSTALLED="", INSTALL_STATUS="100")
        self.assertEqual(result.returncode, 1)
        self.assertIn("apt-get install failed", result.stderr)

    def test_sudo_serves_who_is_not_root(self):
        self.stand_in("sudo", 'exec "$@"')
        result = self.run_script("install_deps", INSTALLED="", USER_ID="1000")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(len(self.calls("sudo env DEBIAN_FRONTEND=noninteractive apt-get")), 2)

    def test_neither_root_nor_sudo(self):
        result = self.run_script("install_deps", INSTALLED="", USER_ID="1000")
        self.assertEqual((result.returncode, self.calls("apt-get")), (1, []))
        self.assertIn("neither root nor sudo", result.stderr)

    def test_other_systems_get_the_list(self):
        (self.bin / "apt-get").unlink()
        result = self.run_script("install_deps")
        self.assertEqual(result.returncode, 1)
        self.assertIn("no dpkg and apt-get", result.stderr)
        self.assertIn("libyaml-cpp-dev", result.stderr)


class BuildTest(ScriptTest):
    """scripts/run and scripts/test."""

    def setUp(self):
        super().setUp()
        (self.root / "scripts" / "install_deps").write_text(
            '#!/bin/bash\necho "install_deps $*" >> "$LOG"\nexit "${DEPS_STATUS-0}"\n')
        self.stand_in("cmake",
                      '[[ $1 == --build ]] || exit "${CONFIGURE_STATUS-0}"', "BUILD_STATUS")
        self.stand_in("nproc", "echo ${PROCESSORS-64}")
        program = self.root / "build" / "release" / "sparseserve"
        program.parent.mkdir(parents=True)
        program.write_text('#!/bin/bash\necho "sparseserve $*" >> "$LOG"\nexit "${RUN_STATUS-0}"\n')
        program.chmod(0o755)

    def test_run_simulates_both_and_forwards_options(self):
        result = self.run_script("run", "--set", "seed=7", cwd=str(self.root.parent))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.calls("sparseserve"), [
            f"sparseserve simulate configs/run/{name}.yaml --out out/run/{name} --report --set seed=7"
            for name in ("longbench", "mooncake")])
        self.assertEqual([line.strip() for line in result.stdout.splitlines()[-2:]],
                         [f"{self.root}/out/run/longbench", f"{self.root}/out/run/mooncake"])

    def test_two_jobs_at_most(self):
        self.run_script("run")
        self.assertIn("--parallel 2 ", self.calls("cmake --build")[-1])
        self.run_script("run", PROCESSORS="1")
        self.assertIn("--parallel 1 ", self.calls("cmake --build")[-1])

    def test_the_failing_step_is_named_and_the_last(self):
        for variable, step in [("DEPS_STATUS", "install packages"),
                               ("CONFIGURE_STATUS", "configure"), ("BUILD_STATUS", "build"),
                               ("RUN_STATUS", "simulate configs/run/longbench")]:
            with self.subTest(step=step):
                self.log.write_text("")
                result = self.run_script("run", **{variable: "3"})
                self.assertEqual(result.returncode, 3)
                self.assertIn(f"scripts/run: failed at: {step}", result.stderr)
                self.assertEqual(self.calls("sparseserve simulate configs/run/mooncake"), [])

    def report(self, *statuses):
        cases = "\n".join(f'\t<testcase name="t" status="{status}">\n<system-out>status="run"'
                          "</system-out>\n\t</testcase>" for status in statuses)
        self.stand_in("ctest",
                      "{ : 3<&0; } || exit 9  # a closed stdin must not reach the tests\n"
                      f"mkdir -p build/ci; cat > build/ci/tests.xml <<'EOF'\n{cases}\nEOF",
                      "CTEST_STATUS")

    def test_test_closes_with_the_counts(self):
        self.report("run", "run", "notrun")
        result = self.run_script("test", "-L", "unit")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(result.stdout.splitlines()[-1], "2 passed, 0 failed, 1 skipped")
        self.assertEqual(self.calls("install_deps"), ["install_deps --with-checks"])
        build = self.calls("cmake --build")[0]
        self.assertIn("--target all all_verify_interface_header_sets", build)
        self.assertTrue(self.calls("ctest --preset ci ")[0].endswith(" -L unit"))

    def test_failed_tests_fail_the_script(self):
        self.report("run", "fail")
        result = self.run_script("test", CTEST_STATUS="8")
        self.assertEqual(result.returncode, 8)
        self.assertEqual(result.stdout.splitlines()[-1], "1 passed, 1 failed, 0 skipped")
        self.assertIn("scripts/test: failed at: test", result.stderr)

    def test_ci_runs_the_tests_with_stdin_closed(self):
        self.report("run")
        shutil.copytree(SOURCE / ".ci", self.root / ".ci")
        result = subprocess.run(
            ["bash", "-c", '"$0" <&-', str(self.root / ".ci" / "run")], cwd="/",
            capture_output=True, text=True, env={"PATH": str(self.bin), "LOG": str(self.log)})
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.splitlines()[-1], "1 passed, 0 failed, 0 skipped")


class CheckTest(ScriptTest):
    """scripts/check_format and scripts/tidy."""

    def setUp(self):
        super().setUp()
        self.write("sim/core/a.cc", "int a;\n")

    def write(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def test_format_skips_without_clang_format_14(self):
        self.assertEqual(self.run_script("check_format").returncode, 77)
        self.stand_in("clang-format", 'echo "clang-format version 17.0.6"')
        result = self.run_script("check_format")
        self.assertEqual(result.returncode, 77)
        self.assertIn("clang-format 14 not found", result.stderr)

    def test_format_finds_the_file_that_differs_and_fixes_it(self):
        real = shutil.which("clang-format-14")
        if not real:
            self.skipTest("clang-format-14 is not installed")
        (self.bin / "clang-format-14").symlink_to(real)
        shutil.copy(SOURCE / ".clang-format", self.root)
        self.assertEqual(self.run_script("check_format").returncode, 0)
        self.write("tests/sim/b_test.cc", "int  b ;\n")
        result = self.run_script("check_format")
        self.assertEqual(result.returncode, 1)
        self.assertIn("tests/sim/b_test.cc:1", result.stderr)
        self.assertNotIn("a.cc", result.stderr)
        self.assertEqual(self.run_script("check_format", "--fix").returncode, 0)
        self.assertEqual((self.root / "tests/sim/b_test.cc").read_text(), "int b;\n")

    def prepare_tidy(self):
        (self.bin / "python3").symlink_to(os.path.realpath(shutil.which("python3")))
        self.stand_in("clang-tidy",
                      '[[ $1 != --version ]] || { echo "LLVM version 14.0.6"; exit 0; }\n'
                      '[[ "$*" != *"${BAD-none}"* ]] || { echo found; exit 1; }')
        generated = "build/ci/x_verify_interface_header_sets/sim/core/b.h.cxx"
        self.write("build/ci/compile_commands.json", json.dumps(
            [{"directory": str(self.root / "build/ci"), "file": str(self.root / path)}
             for path in ("sim/core/a.cc", "sim/core/c.cc", generated, "build/ci/made.cc")]))

    def tidied(self):
        names = [line.rpartition("/")[2] for line in self.calls("clang-tidy --quiet")]
        self.log.write_text("")
        return sorted(names)

    def test_tidy_checks_all_sources_of_the_project(self):
        self.prepare_tidy()
        result = self.run_script("tidy")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout, "tidy: 2 files checked, 0 with findings\n")
        self.assertEqual(self.tidied(), ["a.cc", "c.cc"])

    def test_tidy_reports_findings(self):
        self.prepare_tidy()
        result = self.run_script("tidy", BAD="c.cc")
        self.assertEqual((result.returncode, result.stdout),
                         (1, "== sim/core/c.cc\nfound\n\ntidy: 2 files checked, 1 with findings\n"))

    def test_tidy_checks_what_changed_since_a_revision(self):
        self.prepare_tidy()
        if not shutil.which("git"):
            self.skipTest("git is not installed")
        # An environment of its own: a GIT_DIR of the caller must not lead to the real repository.
        identity = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER")
                    for what in ("NAME", "EMAIL")}
        for command in (["init", "-q"], ["add", "sim"], ["commit", "-q", "-m", "a"]):
            subprocess.run(["git", *command], cwd=self.root, check=True,
                           env={"PATH": os.environ["PATH"], "HOME": str(self.root), **identity})
        self.run_script("tidy", "HEAD")
        self.assertEqual(self.tidied(), [])
        self.write("sim/core/c.cc", "int c;\n")
        self.write("sim/core/b.h", "#pragma once\n")
        self.run_script("tidy", "HEAD")
        self.assertEqual(self.tidied(), ["b.h.cxx", "c.cc"])
        self.write("sim/core/a.cc", "int changed;\n")
        self.run_script("tidy", "HEAD")
        self.assertEqual(self.tidied(), ["a.cc", "b.h.cxx", "c.cc"])
        self.assertEqual(self.run_script("tidy", "no-such-revision").returncode, 2)

    def test_tidy_asks_for_a_configured_build(self):
        self.prepare_tidy()
        (self.root / "build/ci/compile_commands.json").unlink()
        result = self.run_script("tidy")
        self.assertEqual(result.returncode, 2)
        self.assertIn("run: cmake --preset ci", result.stderr)

    def test_tidy_skips_without_clang_tidy_14(self):
        self.prepare_tidy()
        (self.bin / "clang-tidy").unlink()
        self.assertEqual(self.run_script("tidy").returncode, 77)


if __name__ == "__main__":
    unittest.main()
