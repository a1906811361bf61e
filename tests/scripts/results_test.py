"""What scripts/test leaves out the second time: what passed, and only that, while nothing that it runs on has changed."""
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "test_results"
CASES = {"cli.Runs": "run", "cli.Waits": "notrun", "gpu.Computes": "notrun", "train.Fails": "fail", "train.Learns": "run", "tsan.store.Commits": "run", "tsan.io.Reads": "run"}


class Results(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name) / "tree"
        for name in ("src/a.cpp", "docs/page.md", "docs/config.md", "tests/io/data.bin", "build/release/bin/gsnake", "build/release/src/libgreedysnake.so.0", "build/tsan/bin/test_store",
                     "build/tsan/bin/test_io", "build/all/CTestTestfile.cmake"):
            self.write(name, "first")
        self.write(".gitignore", "/build/\n")
        (self.root / "scripts").mkdir()
        shutil.copy(SCRIPT, self.root / "scripts")
        subprocess.run(["git", "init", "-q", self.root], check=True)

    def write(self, name, text):
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def call(self, *arguments):
        return subprocess.run([self.root / "scripts" / "test_results", *arguments], check=True, capture_output=True, text=True).stdout.strip()

    def left_out(self):
        expression = self.call("before", f"{self.root}/build/release", f"{self.root}/build/tsan")
        return {name for name in CASES if expression and re.match(expression, name)}

    def run_all(self, cases=None):
        self.left_out()
        lines = "".join(f'<testcase name="{name}" status="{status}"/>' for name, status in (cases or CASES).items())
        self.write("build/all/junit.xml", f"<testsuite>{lines}</testsuite>")
        self.call("after", f"{self.root}/build/all/junit.xml")

    def test_what_passed_as_a_module_is_left_out(self):
        self.assertEqual(self.left_out(), set())
        self.run_all()
        # Not a module of which something failed, nor one that was skipped as a whole.
        self.assertEqual(self.left_out(), {"cli.Runs", "cli.Waits", "tsan.store.Commits", "tsan.io.Reads"})

    def test_a_change_brings_back_what_runs_on_it(self):
        sanitized = {"tsan.store.Commits", "tsan.io.Reads"}
        of_release = {"cli.Runs", "cli.Waits"}
        for name, left in (("build/release/src/libgreedysnake.so.0", sanitized), ("build/release/bin/gsnake", sanitized), ("src/a.cpp", sanitized), ("docs/page.md", sanitized),
                           ("build/tsan/bin/test_io", of_release | {"tsan.store.Commits"}), ("docs/config.md", set()), ("tests/io/data.bin", set()), ("scripts/new", set())):
            with self.subTest(name):
                self.run_all()
                self.write(name, f"changed {name}")
                self.assertEqual(self.left_out(), left)

    def test_what_fails_later_is_run_again(self):
        self.run_all()
        self.run_all({**CASES, "cli.Runs": "fail"})
        self.assertEqual(self.left_out(), {"tsan.store.Commits", "tsan.io.Reads"})

    def test_what_changed_while_it_ran_did_not_pass_on_that(self):
        self.left_out()
        self.write("build/all/junit.xml", '<testsuite><testcase name="cli.Runs" status="run"/></testsuite>')
        self.write("src/a.cpp", "changed meanwhile")
        self.call("after", f"{self.root}/build/all/junit.xml")
        self.assertEqual(self.left_out(), set())

    def test_a_run_of_a_part_keeps_the_rest(self):
        self.run_all()
        self.run_all({"train.Fails": "run", "train.Learns": "run"})
        self.assertEqual(self.left_out(), set(CASES) - {"gpu.Computes"})

    def test_without_git_everything_runs(self):
        self.run_all()
        shutil.rmtree(self.root / ".git")
        self.assertEqual(self.left_out(), set())


unittest.main()
