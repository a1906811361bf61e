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

    def __init__(self, learned, on_nvme=1.0, state_on_nvme=1000):
        self.learned, self.on_nvme, self.state_on_nvme, self.masters_checked = learned, on_nvme, state_on_nvme, False

    def gsnake(self, work, plan, keys=None, afterwards=None):
        learned = 0.0 if (keys or {}).get("optimizer.learning_rate") == 0.0 else self.learned
        self.masters_checked = self.masters_checked and (learned > 0 or afterwards is not None)
        start = {"compute_dtype": "fp32", "parameters": 1000, "io": {"engine": "io_uring", "direct": True, "registered": True}, "memory": {}}
        return Run(start, [], [7.0 - learned * step for step in range(plan.steps)], 0, 0)

    def deepspeed(self, work, plan, compute, knobs, check_masters=False):
        self.masters_checked = check_masters
        start = {"parameters": 1000, "parameters_on_nvme": int(1000 * self.on_nvme), "optimizer_parameters_on_nvme": self.state_on_nvme,
                 "optimizer": "DeepSpeedCPUAdam", "swapper": "PipelinedOptimizerSwapper", "versions": {}, "config": {}}
        return Run(start, [], [7.0 - self.learned * step for step in range(plan.steps)], 0, 0)


class Agreement(unittest.TestCase):

    def compare(self, fake):
        return fake.compare_losses(Workload(), 4, settings.DEFAULTS, {})

    def test_is_found_where_both_learn_the_same(self):
        fake = Fake(learned=0.01)
        self.assertAlmostEqual(self.compare(fake)["difference_without_learning"], 0.03)
        self.assertTrue(fake.masters_checked)

    def test_is_refused_where_losses_do_not_tell_whether_anything_was_learned(self):
        with self.assertRaisesRegex(RunError, "can't tell"):
            self.compare(Fake(learned=0.0001))

    def test_is_refused_where_deepspeed_keeps_weights_in_memory(self):
        with self.assertRaisesRegex(RunError, "larger --hidden"):
            self.compare(Fake(learned=0.01, on_nvme=0.7))
        with self.assertRaisesRegex(RunError, "900 of 1000"):
            self.compare(Fake(learned=0.01, state_on_nvme=900))


class Settings(unittest.TestCase):

    def found_by(self, seconds):
        """The best settings where a run with `knobs` takes `seconds(knobs, its number)` a step."""
        count = iter(range(10**6))

        class Timed:

            def gsnake(self, work, plan):
                return Run({"compute_dtype": "fp32"}, [], [], 0, 0)

            def deepspeed(self, work, plan, compute, knobs):
                step = seconds(knobs, next(count))
                return Run({"parameters": 1, "parameters_on_nvme": 1}, [Sample(step * n, 0, 0, 0) for n in range(4)], [], 0, 0)

        sweep = bench.sweep.Sweep(Timed(), Workload(), Plan(warm_up=2, measured=2), lambda text: None)
        sweep.run()
        sweep.confirm()
        return sweep.best

    def test_that_make_steps_faster_are_kept(self):
        best = self.found_by(lambda knobs, _: 2.0 - 0.5 * (knobs["queue_depth"] == 128) + 0.5 * (knobs["aio_threads"] == 1))
        self.assertEqual(best, {**settings.DEFAULTS, "queue_depth": 128})

    def test_that_seemed_so_once_are_not(self):
        self.assertEqual(self.found_by(lambda knobs, number: 1.0 if number == 2 else 2.0), settings.DEFAULTS)

    def test_that_prove_slower_in_the_end_are_not(self):
        # Faster in the two pairs that decide, then no more.
        late = 2 * sum(map(len, settings.TRIALS.values())) + 4
        self.assertEqual(self.found_by(lambda knobs, number: 2.0 + (knobs["passive_wait"] and (1.0 if number >= late else -1.0))), settings.DEFAULTS)


class Order(unittest.TestCase):

    def test_changes_from_turn_to_turn(self):
        ran = []

        class Recorder:

            def run(self, name, start):
                ran.append(name)
                return Run({"base_bytes": 0, **start}, [Sample(float(n), 0, 0, 0) for n in range(4)], [7.0, 6.9], 2, 1)

            def gsnake(self, work, plan, keys):
                return self.run("gsnake", {"formula_ssd_read_bytes": 14 * work.parameters, "formula_ssd_write_bytes": 12 * work.parameters})

            def deepspeed(self, work, plan, compute, knobs):
                return self.run("deepspeed", {})

        plans = dict.fromkeys(("deepspeed", "gsnake"), Plan(warm_up=2, measured=2, tail=0))
        *_, row = measure.alternate(Recorder(), Workload(), plans, 2, "fp32", settings.DEFAULTS, {}, lambda text: None)
        self.assertEqual(ran, ["deepspeed", "gsnake", "gsnake", "deepspeed"])
        self.assertEqual((row["ratio"], len(row["turns"]["gsnake"])), (1.0, 2))


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
        passes = (8 * block + ends + 6 * block) / (8 * block + ends)  # in backward the head and the last two blocks are still there
        self.assertAlmostEqual(measure.deepspeed_formula(work, settings.DEFAULTS)["read"], 16 + 2 * 8 * passes)
        self.assertEqual(measure.deepspeed_formula(work, settings.DEFAULTS)["written"], 18.0)
        again = measure.deepspeed_formula(work, {**settings.DEFAULTS, "reuse_blocks": 0})["read"]
        self.assertAlmostEqual(again, 16 + 2 * 8 * (1 + 8 * block / (8 * block + ends)))
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

    def watch(self, script, plan=PLAN, may_abort=True, group=None):
        preamble = "import json, os, signal, time\ndef step(n): print(json.dumps({'event': 'step', 'step': n, 'loss': 7.0}), flush=True); time.sleep(0.1)\n"
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder)
            return processes.watch([sys.executable, "-c", preamble + script], place / "steps.out", place / "log", plan, Machine(place, 1, group, "8:0"),
                                   [processes.plain_environment()], prints_lines=True, may_abort=may_abort)

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
        script = "for n in range(3): step(n)\nos.kill(os.getpid(), signal.SIGABRT)"
        self.assertEqual(len(self.watch(script).losses), 3)
        with self.assertRaisesRegex(RunError, "SIGABRT after 3 of 3"):
            self.watch(script, may_abort=False)

    def test_ends_a_program_that_says_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            pid = pathlib.Path(folder) / "pid"
            with self.assertRaisesRegex(RunError, "said nothing"):
                self.watch(f"open({str(pid)!r}, 'w').write(str(os.getpid()))\nstep(1)\ntime.sleep(600)", Plan(warm_up=1, measured=1, silence=5))
            self.assertFalse(pathlib.Path("/proc", pid.read_text()).exists())

    def test_holds_the_drive_from_the_first_step_after_the_warm_up_to_the_tail(self):
        rates = []
        group = unittest.mock.Mock(throttle=lambda drive, rate: rates.append((drive, rate)))
        group.enter = lambda: None
        run = self.watch("for n in range(5): step(n)", Plan(warm_up=1, settle=1, measured=2, tail=1, rate=100), group=group)
        self.assertEqual(rates, [("8:0", 100), ("8:0", 0), ("8:0", 0)])  # the last whatever happens
        self.assertEqual(len(run.samples), 4)

    def test_keeps_a_program_to_its_cores(self):
        run = self.watch("print(json.dumps({'event': 'start', 'cores': len(os.sched_getaffinity(0))}), flush=True)\nfor n in range(3): step(n)")
        self.assertEqual(run.start["cores"], 1)


class Environment(unittest.TestCase):

    def test_holds_nothing_of_the_caller_that_changes_what_is_compared(self):
        odd = {"OMP_WAIT_POLICY": "passive", "MALLOC_ARENA_MAX": "1", "GSNAKE_BENCH_WITHOUT_CHECKSUMS": "1", "HOME": "/home", "CUDA_VISIBLE_DEVICES": "5,7"}
        with unittest.mock.patch.dict(os.environ, odd, clear=True):
            self.assertEqual(set(processes.plain_environment()), {"HOME", "CUDA_VISIBLE_DEVICES"})
            theirs = processes.deepspeed_environment(Workload(threads=2), pathlib.Path("/e"), settings.DEFAULTS)
            self.assertEqual((theirs["OMP_NUM_THREADS"], theirs["DS_ACCELERATOR"], theirs["TORCH_EXTENSIONS_DIR"]), ("2", "cpu", "/e/ext"))
            self.assertNotIn("OMP_WAIT_POLICY", theirs)
            theirs = processes.deepspeed_environment(Workload(device="cuda:1"), pathlib.Path("/e"), {**settings.DEFAULTS, "passive_wait": True})
            self.assertEqual((theirs["CUDA_VISIBLE_DEVICES"], theirs["TORCH_EXTENSIONS_DIR"], theirs["OMP_WAIT_POLICY"]), ("7", "/e/ext-cuda", "passive"))


class ControlGroups(unittest.TestCase):

    def test_of_either_version_get_the_limits_in_their_form(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "unified").mkdir()
            (root / "unified/cgroup.controllers").write_text("cpu io memory\n")
            (root / "blkio").mkdir()
            (root / "mem").mkdir()
            own = f"gsnake-bench-{os.getpid()}"
            one = {f"blkio/{own}/blkio.throttle.read_bps_device": ("8:0 100", "8:0 0"), f"blkio/{own}/blkio.throttle.write_bps_device": ("8:0 100", "8:0 0"),
                   f"mem/{own}/memory.limit_in_bytes": ("4096", "-1")}
            two = {f"unified/{own}/io.max": ("8:0 rbps=100 wbps=100", "8:0 rbps=max wbps=max"), f"unified/{own}/memory.max": ("4096", "max")}
            for mounts, files in ((f"c {root}/blkio cgroup rw,blkio 0 0\nc {root}/mem cgroup rw,memory 0 0\n", one), (f"c {root}/unified cgroup2 rw 0 0\n", two)):
                (root / "mounts").write_text(mounts)
                with unittest.mock.patch.object(cgroups, "MOUNTS", root / "mounts"), unittest.mock.patch.object(cgroups, "_remove", lambda _: None):
                    with cgroups.Group([cgroups.THROTTLE, cgroups.MEMORY]) as group:
                        for turn, (rate, limit) in enumerate(((100, 4096), (0, 0))):
                            group.throttle("8:0", rate)
                            group.limit_memory(limit)
                            self.assertEqual({name: (root / name).read_text() for name in files}, {name: texts[turn] for name, texts in files.items()})

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
