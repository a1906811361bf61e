#!/usr/bin/env python3
"""What the comparison with DeepSpeed on a GPU carries, reports and refuses. Needs neither DeepSpeed nor a GPU."""
import argparse
import contextlib
import importlib.metadata
import io
import json
import math
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
import unittest.mock
import zipfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "benchmarks/zero_infinity"))

import carried
import on_gpu
import processes
import settings
from processes import Machine, Plan, Run, RunError, Sample

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def write_wheel(folder, name):
    """A package of one module that says where it lies."""
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "place = __file__\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def write_archive(folder, headers):
    root = folder / "packed/deepspeed"
    for part in ("include", "lib", "wheels", *([f"python{VERSION}"] if headers else [])):
        (root / part).mkdir(parents=True)
    (root / "requirements.txt").write_text("deepspeed==1.0\n")
    (root / "lib/libaio.so.1").write_text("")
    write_wheel(root / "wheels", "deepspeed")
    with tarfile.open(folder / "deepspeed.tar.xz", "w:xz") as archive:
        archive.add(root, "deepspeed")
    return folder / "deepspeed.tar.xz"


class Carried(unittest.TestCase):

    def unpack(self, headers_carried, headers_here):
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            (folder / "here").mkdir()
            if headers_here:
                (folder / "here/Python.h").write_text("")
            archive = write_archive(folder, headers_carried)
            with unittest.mock.patch("sysconfig.get_path", lambda name: str(folder / "here")):
                installed = carried.unpack(archive, folder / "environment")
            script = "import deepspeed, json, os; print(json.dumps([deepspeed.place, os.environ['CPATH'], os.environ['LD_LIBRARY_PATH']]))"
            said = subprocess.run([folder / "environment/env/bin/python", "-c", script], capture_output=True, text=True, check=True).stdout
            self.assertTrue((folder / "environment/ready.txt").exists())
            return installed, [text.replace(str(folder), "") for text in json.loads(said)]

    def test_archive_becomes_an_environment_whose_python_finds_what_was_carried(self):
        with unittest.mock.patch.dict(os.environ):
            for name in ("CPATH", "LD_LIBRARY_PATH"):
                os.environ.pop(name, None)
            installed, (place, headers, libraries) = self.unpack(headers_carried=True, headers_here=True)
        self.assertEqual(installed, ["deepspeed-1.0-py3-none-any.whl"])
        self.assertEqual((place, headers, libraries), ("/environment/site/deepspeed.py", "/environment/include", "/environment/lib"))

    def test_headers_of_python_are_used_where_the_machine_has_none(self):
        _, (_, headers, _) = self.unpack(headers_carried=True, headers_here=False)
        self.assertTrue(headers.startswith(f"/environment/include:/environment/python{VERSION}"), headers)

    def test_no_headers_at_all_are_refused(self):
        with self.assertRaisesRegex(carried.CarryError, f"no Python.h of Python {VERSION}"):
            self.unpack(headers_carried=False, headers_here=False)

    def test_packages_that_the_machine_has_are_left_alone_but_pydantic_goes_with_its_core(self):
        wheels = [pathlib.Path(name) for name in ("deepspeed-0-py3-none-any.whl", "hjson-1-py3-none-any.whl", "py_cpuinfo-9-py3-none-any.whl",
                                                  "pydantic-2-py3-none-any.whl", "pydantic_core-2-cp312-cp312-x.whl")]

        def version(name, there={"deepspeed", "py-cpuinfo", "pydantic"}):
            if name not in there:
                raise importlib.metadata.PackageNotFoundError(name)
            return "1"

        with unittest.mock.patch("importlib.metadata.version", version):
            self.assertEqual([wheel.name.split("-")[0] for wheel in carried._lacking(wheels)], ["deepspeed", "hjson", "pydantic", "pydantic_core"])

    def compile(self, script, seconds):
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            (folder / "env/bin").mkdir(parents=True)
            (folder / "env/bin/python").write_text(f"#!/bin/sh\necho $$ >>{folder}/pids\n{script}\n")
            (folder / "env/bin/python").chmod(0o755)
            try:
                carried.compile_extensions(folder, "cuda", seconds, cores=4)
            finally:
                for pid in (folder / "pids").read_text().split():
                    self.assertFalse(pathlib.Path("/proc", pid).exists())

    def test_compiler_that_fails_or_hangs_is_reported_and_leaves_nothing_behind(self):
        with self.assertRaisesRegex(carried.CarryError, "CPUAdamBuilder ended with status 3: no such header"):
            self.compile("echo no such header; exit 3", 60)
        with self.assertRaisesRegex(carried.CarryError, "not done within 1 s"):
            self.compile("sleep 600", 1)


class Deadline(unittest.TestCase):

    def test_ends_a_program_and_keeps_what_it_said(self):
        with tempfile.TemporaryDirectory() as temporary:
            place = pathlib.Path(temporary)
            script = ("import json, sys, time; print(json.dumps({'event': 'step', 'loss': 7.0}), flush=True); print('still compiling', file=sys.stderr, flush=True); "
                      "time.sleep(600)")
            with self.assertRaisesRegex(RunError, "not done in time") as caught:
                processes.watch([sys.executable, "-c", script], place / "out", place / "log", Plan(deadline=time.monotonic() + 2),
                                Machine(place, 1, None, None), [processes.plain_environment()], prints_lines=True)
            self.assertIn("still compiling", caught.exception.log)
            self.assertEqual(caught.exception.run.losses, [7.0])


class FakeBench:
    """Programs that answer at once, DeepSpeed in twice the time; or whose DeepSpeed fails."""

    def __init__(self, losses=(10.0, 9.0, 8.0), fails=False):
        self.losses, self.fails, self.ran = list(losses), fails, []

    def gsnake(self, work, plan, keys):
        self.ran.append(f"gsnake {work.micro_batches}")
        return self._run([10.0, 9.0, 8.0, 7.0], 1.0, {"base_bytes": 0, "compute_dtype": "bf16"})

    def deepspeed(self, work, plan, compute, knobs):
        self.ran.append(f"deepspeed {work.micro_batches}")
        if self.fails:
            raise RunError("DeepSpeed ended with status 1 after 0 of 3 steps: boom", "a long log")
        return self._run(self.losses, 2.0, {"base_bytes": 0, "parameters": 10, "parameters_on_nvme": 10, "optimizer_parameters_on_nvme": 10, "optimizer": "DeepSpeedCPUAdam",
                                            "versions": {"deepspeed": "1"}, "config": {}})

    def _run(self, losses, seconds, start):
        return Run(start, [Sample(seconds * n, 0, 100 * n, 50 * n) for n in range(3)], losses, 2, 1)


class Comparison(unittest.TestCase):

    def compare(self, fake, seconds=math.inf):
        with tempfile.TemporaryDirectory() as temporary:
            place = pathlib.Path(temporary)
            arguments = argparse.Namespace(device="cpu", gsnake="gsnake", libraries=None, environment=place, layers=1, hidden=64, vocab=2048, sequence_length=8,
                                           micro_batches=[8, 1], threads=1, budget="1 GiB", out=place / "out.json")
            comparison = on_gpu.Comparison(arguments, place, time.monotonic() + seconds)
            with unittest.mock.patch("measure.Bench", lambda *_: fake), contextlib.redirect_stderr(io.StringIO()):
                comparison.run()
            comparison.save()
            return json.loads(arguments.out.read_text())

    def test_runs_both_for_each_number_of_micro_batches_and_reports_their_ratio(self):
        fake = FakeBench()
        report = self.compare(fake)
        self.assertEqual(fake.ran, ["gsnake 8", "deepspeed 8", "gsnake 1", "deepspeed 1"])
        self.assertTrue(report["passed"])
        self.assertEqual([(row["ratio"], row["gsnake"]["steps_seconds"], row["gsnake"]["read_bytes"]) for row in report["rows"]], [(2.0, [1.0, 1.0], 100.0)] * 2)

    def test_different_losses_do_not_pass(self):
        for losses, reason in (((10.1, 9.0, 8.0), "step 1"), ((10.0, 9.0, 8.5), "step 3")):
            report = self.compare(FakeBench(losses))
            self.assertFalse(report["passed"])
            self.assertIn(reason, report["rows"][0]["agreement"]["error"])

    def test_failure_of_deepspeed_is_reported_and_gsnake_is_measured_all_the_same(self):
        report = self.compare(FakeBench(fails=True))
        self.assertFalse(report["passed"])
        self.assertEqual([row["deepspeed"]["log"] for row in report["rows"]], ["a long log"] * 2)
        self.assertEqual([row["gsnake"]["step_seconds"] for row in report["rows"]], [1.0, 1.0])

    def test_nothing_is_started_when_time_is_up(self):
        fake = FakeBench()
        report = self.compare(fake, seconds=-1)
        self.assertEqual((fake.ran, report["passed"]), ([], False))
        self.assertIn("time was up", report["rows"][0]["gsnake"]["error"])


class Settings(unittest.TestCase):

    def test_of_a_gpu_are_those_of_a_cpu_but_for_what_was_chosen_for_it(self):
        with unittest.mock.patch("settings.FILE", pathlib.Path("/no sweep")):
            self.assertEqual(settings.best(settings.kind_of(0, "cuda:0")), {**settings.DEFAULTS, **settings.ON_GPU})
            self.assertEqual(settings.best(settings.kind_of(0, "cpu")), settings.DEFAULTS)
        self.assertLessEqual(set(settings.ON_GPU), set(settings.DEFAULTS))


if __name__ == "__main__":
    unittest.main()
