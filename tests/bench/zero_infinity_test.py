#!/usr/bin/env python3
"""What the comparison with DeepSpeed refuses and counts. Needs no DeepSpeed."""
import importlib.util
import os
import pathlib
import sys
import tempfile
import unittest
import unittest.mock
from importlib.machinery import SourceFileLoader

HARNESS = pathlib.Path(__file__).resolve().parents[2] / "benchmarks/zero_infinity"
sys.dont_write_bytecode = True
sys.path.insert(0, str(HARNESS))

import cgroups
import measure
import processes
import settings
from processes import Machine, Plan, Run, RunError, Sample
from workload import Workload

LOADER = SourceFileLoader("bench", str(HARNESS / "bench"))
bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench", LOADER))
LOADER.exec_module(bench)


class Losses(unittest.TestCase):

    def test_equal_work_passes(self):
        agreement = measure.check_losses([7.0, 6.9], [7.0, 6.901])
        self.assertEqual(agreement["first_difference"], 0.0)
        self.assertAlmostEqual(agreement["largest_difference"], 0.001)

    def test_different_work_is_refused(self):
        for ours, theirs in (([7.0001, 6.9], [7.0, 6.9]), ([7.0, 6.91], [7.0, 6.9]), ([None, 6.9], [7.0, 6.9]), ([7.0, float("nan")], [7.0, 6.9])):
            with self.assertRaises(RunError):
                measure.check_losses(ours, theirs)


class Fake(measure.Bench):
    """Programs that answer at once: gsnake's losses fall by `learned` a step where it has a learning rate."""

    def __init__(self, learned, on_nvme=1.0):
        self.learned, self.on_nvme, self.masters_checked = learned, on_nvme, False

    def gsnake(self, work, plan, keys=None, afterwards=None):
        learned = 0.0 if (keys or {}).get("optimizer.learning_rate") == 0.0 else self.learned
        self.masters_checked = self.masters_checked and (learned > 0 or afterwards is not None)
        start = {"compute_dtype": "fp32", "parameters": 1000, "io": {"engine": "io_uring", "direct": True, "registered": True}, "memory": {}}
        return Run(start, [], [7.0 - learned * step for step in range(plan.steps)], 0, 0)

    def deepspeed(self, work, plan, compute, knobs, check_masters=False):
        self.masters_checked = check_masters
        start = {"parameters": 1000, "parameters_on_nvme": int(1000 * self.on_nvme), "optimizer_parameters_on_nvme": 1000, "versions": {}, "config": {}}
        return Run(start, [], [7.0 - self.learned * step for step in range(plan.steps)], 0, 0)


class Agreement(unittest.TestCase):

    def compare(self, fake):
        return fake.compare_losses(Workload(), 4, settings.DEFAULTS, {})

    def test_is_found_where_both_learn_the_same(self):
        fake = Fake(learned=0.01)
        self.assertGreater(self.compare(fake)["difference_without_learning"], measure.LOSS_TOLERANCE)
        self.assertTrue(fake.masters_checked)

    def test_is_refused_where_losses_do_not_tell_whether_anything_was_learned(self):
        with self.assertRaisesRegex(RunError, "can't tell"):
            self.compare(Fake(learned=0.0001))

    def test_is_refused_where_deepspeed_keeps_weights_in_memory(self):
        with self.assertRaisesRegex(RunError, "larger --hidden"):
            self.compare(Fake(learned=0.01, on_nvme=0.7))


class Turns(unittest.TestCase):

    def test_hold_the_counted_steps_and_no_others(self):
        plan = Plan(warm_up=2, settle=1, measured=2, tail=1)
        seconds = [100.0, 200.0, 300.0, 302.0, 306.0]  # at the ends of steps 1 to 5; steps 4 and 5 count, 6 is the tail
        samples = [Sample(s, 2 * s, int(1000 * s), int(500 * s)) for s in seconds]
        work = Workload(micro_batches=4)
        turn = measure.turn_of(Run({"base_bytes": 10}, samples, [], 70, 60), work, plan)
        self.assertEqual((turn["step_seconds"], turn["cpu_seconds"], turn["read_bytes"], turn["written_bytes"]), (3.0, 6.0, 3000.0, 1500.0))
        self.assertEqual(turn["tokens_per_second"], work.tokens_per_step / 3.0)
        self.assertEqual((turn["warm_up_peak_bytes"], turn["steady_peak_bytes"]), (70, 60))


class Formulas(unittest.TestCase):

    def test_of_deepspeed(self):
        work = Workload(layers=8, micro_batches=8)
        block, ends = 4 * 768**2 + 3 * 768 * 2048 + 2 * 768, 2 * 1024 * 768 + 768
        passes = (2 * (8 * block + ends) - 2 * block) / (8 * block + ends)  # the last two blocks are still there in backward
        self.assertAlmostEqual(measure.deepspeed_formula(work, settings.DEFAULTS)["read"], 16 + 2 * 8 * passes)
        self.assertEqual(measure.deepspeed_formula(work, settings.DEFAULTS)["written"], 18.0)
        self.assertAlmostEqual(measure.deepspeed_formula(work, {**settings.DEFAULTS, "reuse_blocks": 0})["read"], 16 + 2 * 8 * 2)
        self.assertEqual(measure.deepspeed_formula(work, {**settings.DEFAULTS, "weights_in_host": True}), {"read": 16.0, "written": 16.0})

    def test_of_the_ratio(self):
        predicted = measure.predicted_ratios({"deepspeed": {"read": 44.0, "written": 18.0}, "gsnake": {"read": 14.0, "written": 12.0}})
        self.assertAlmostEqual(predicted["if_they_overlap"], 44 / 14)
        self.assertAlmostEqual(predicted["if_they_do_not"], 62 / 14)


class Amounts(unittest.TestCase):

    def test_are_read(self):
        for text, amount in (("200MB", 200_000_000), ("1.5 GiB", 3 << 29), ("4096", 4096), ("100mb/s", 100_000_000)):
            self.assertEqual(bench.bytes_of(text), amount, text)

    def test_are_refused(self):
        for text in ("fast", "0", "0.5", "-5MB", "inf", "nan", "5XB", "", "1e9"):
            with self.assertRaises(bench.argparse.ArgumentTypeError, msg=text):
                bench.bytes_of(text)


class Watching(unittest.TestCase):
    """Real processes that print what a program would."""

    PLAN = Plan(warm_up=1, measured=1, tail=1, silence=30)

    def watch(self, script, plan=PLAN, may_abort=True):
        preamble = "import json, os, signal, time\ndef step(n): print(json.dumps({'event': 'step', 'step': n, 'loss': 7.0}), flush=True); time.sleep(0.1)\n"
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder)
            lines = place / "steps.out"
            lines.touch()
            return processes.watch([sys.executable, "-c", preamble + script], lines, place / "log", plan, Machine(place, 1, None, None), may_abort=may_abort)

    def test_takes_a_sample_of_each_step_but_the_tail(self):
        run = self.watch("print(json.dumps({'event': 'start', 'base_bytes': 1}), flush=True)\nfor n in range(3): step(n)")
        self.assertEqual((len(run.losses), len(run.samples)), (3, 2))
        self.assertGreater(run.steady_peak_bytes, 0)
        self.assertGreater(run.samples[1].seconds, run.samples[0].seconds)

    def test_refuses_a_run_that_ends_early_or_fails(self):
        for script, reason in (("step(1)", "ended with status 0 after 1 of 3"), ("for n in range(3): step(n)\nraise SystemExit(3)", "status 3"),
                               ("step(1)\nos.kill(os.getpid(), signal.SIGABRT)", "SIGABRT after 1 of 3"),
                               ("for n in range(3): step(n)\nos.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV")):
            with self.assertRaisesRegex(RunError, reason):
                self.watch(script)

    def test_forgives_an_abort_after_the_last_step(self):
        self.assertEqual(len(self.watch("for n in range(3): step(n)\nos.kill(os.getpid(), signal.SIGABRT)").losses), 3)

    def test_ends_a_program_that_says_nothing(self):
        with self.assertRaisesRegex(RunError, "said nothing"):
            self.watch("step(1)\ntime.sleep(600)", Plan(warm_up=1, measured=1, silence=0.5))

    def test_keeps_a_program_to_its_cores(self):
        run = self.watch("print(json.dumps({'event': 'start', 'cores': len(os.sched_getaffinity(0))}), flush=True)\nfor n in range(3): step(n)")
        self.assertEqual(run.start["cores"], 1)


class ControlGroups(unittest.TestCase):

    def test_of_either_version_get_the_limits_in_their_form(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "unified").mkdir()
            (root / "unified/cgroup.controllers").write_text("cpu io memory\n")
            (root / "blkio").mkdir()
            (root / "mem").mkdir()
            own = f"gsnake-bench-{os.getpid()}"
            for mounts, written in (
                (f"c {root}/blkio cgroup rw,blkio 0 0\nc {root}/mem cgroup rw,memory 0 0\n",
                 {f"blkio/{own}/blkio.throttle.read_bps_device": "8:0 100", f"blkio/{own}/blkio.throttle.write_bps_device": "8:0 100", f"mem/{own}/memory.limit_in_bytes": "4096"}),
                (f"c {root}/unified cgroup2 rw 0 0\n", {f"unified/{own}/io.max": "8:0 rbps=100 wbps=100", f"unified/{own}/memory.max": "4096"})):
                (root / "mounts").write_text(mounts)
                with unittest.mock.patch.object(cgroups, "MOUNTS", root / "mounts"), unittest.mock.patch.object(cgroups, "_remove", lambda _: None):
                    with cgroups.Group([cgroups.THROTTLE, cgroups.MEMORY]) as group:
                        group.throttle("8:0", 100)
                        group.limit_memory(4096)
                        for name, text in written.items():
                            self.assertEqual((root / name).read_text(), text)
                        group.throttle("8:0", 0)
                        group.limit_memory(0)
                        for name in written:
                            self.assertIn((root / name).read_text(), ("8:0 0", "-1", "8:0 rbps=max wbps=max", "max"))

    def test_end_a_program_that_takes_more_memory(self):
        reason = cgroups.unavailable(cgroups.MEMORY, "/")
        if reason:
            self.skipTest(reason)
        with cgroups.Group([cgroups.MEMORY]) as group:
            group.limit_memory(64 << 20)
            command = [sys.executable, "-c", "b = bytearray(256 << 20)\nb[::4096] = b'1' * len(b[::4096])"]
            died = bench.processes.subprocess.run(command, preexec_fn=group.enter)
            self.assertNotEqual(died.returncode, 0)
            self.assertGreaterEqual(group.killed_for_memory(), 1)
            folder = group.places[cgroups.MEMORY][0]
        self.assertFalse(folder.exists())


if __name__ == "__main__":
    unittest.main(verbosity=1)
