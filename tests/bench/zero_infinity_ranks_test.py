#!/usr/bin/env python3
"""The comparison with DeepSpeed on several ranks: what each gets, what is counted, what becomes of one that fails. Needs no DeepSpeed."""
import contextlib
import importlib.util
import io
import json
import os
import pathlib
import sys
import tempfile
import tomllib
import unittest
import unittest.mock
from importlib.machinery import SourceFileLoader

HARNESS = pathlib.Path(__file__).resolve().parents[2] / "benchmarks/zero_infinity"
sys.dont_write_bytecode = True
sys.path.insert(0, str(HARNESS))

import measure
import processes
import ranks
import runner
import settings
from processes import Machine, Plan, Run, RunError
from ranks import Sample
from workload import Workload


def program(name):
    loader = SourceFileLoader(name, str(HARNESS / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


bench, report = program("bench"), program("report")
PLAN = Plan(warm_up=1, measured=1, tail=1, silence=60)
STEP = "import json, os, pathlib, signal, sys, time\nrank = int(os.environ.get('RANK', -1))\ndef line(**of): print(json.dumps(of), flush=True)\n"


class Shares(unittest.TestCase):

    def test_of_micro_batches_are_runs_of_equal_length_that_are_all_of_a_step(self):
        work = {"micro_batches": 8, "ranks": 2}
        self.assertEqual([list(runner.own_micro_batches(work, 2, rank)) for rank in (0, 1)], [[8, 9, 10, 11], [12, 13, 14, 15]])

    def test_of_threads_and_gradients_go_to_each_rank(self):
        work = Workload(hidden=1024, micro_batches=8, threads=4, ranks=2)
        told = processes.deepspeed_environment(work, pathlib.Path("/e"), settings.DEFAULTS)
        self.assertEqual(told["OMP_NUM_THREADS"], "2")
        config = runner.deepspeed_config(processes.workloads.deepspeed_workload(work, "", "", 1, "bf16", settings.DEFAULTS), 1024 * 2752)
        self.assertEqual(config["gradient_accumulation_steps"], 4)
        self.assertEqual(config["zero_optimization"]["offload_param"]["buffer_size"], 1024 * 2752 // 2)


class Options(unittest.TestCase):

    def parse(self, *words):
        with unittest.mock.patch.object(sys, "argv", ["bench", *words]), unittest.mock.patch.object(os, "sched_getaffinity", lambda _: range(5)):
            with contextlib.redirect_stderr(io.StringIO()) as said:
                try:
                    return bench.parse()
                except SystemExit as error:
                    self.assertEqual(error.code, 2)
                    return said.getvalue()

    def test_that_are_not_given_suit_the_ranks(self):
        for count, hidden, threads in ((1, 768, 5), (2, 1024, 4), (4, 1536, 4)):
            arguments = self.parse("--ranks", str(count))
            self.assertEqual((arguments.hidden, arguments.threads), (hidden, threads))
            self.assertGreaterEqual(2 * hidden**2 // count, 1 << 20)  # what DeepSpeed puts on the drive

    def test_that_ranks_can_not_share_are_refused(self):
        for words in (["--micro-batches", "2,3", "--ranks", "2"], ["--threads", "3", "--ranks", "2"], ["--ranks", "6"], ["--device", "cuda:0", "--ranks", "2"],
                      ["memory", "--ranks", "2"], ["--ranks", "0"]):
            self.assertRegex(str(self.parse(*words)), "^gsnake: error: bench zero-infinity: .*--ranks", words)

    def test_best_settings_are_those_of_one_rank_until_others_are_found(self):
        with tempfile.TemporaryDirectory() as folder, unittest.mock.patch.object(settings, "FILE", pathlib.Path(folder, "settings.json")):
            one, two = settings.kind_of(0, "cpu"), settings.kind_of(0, "cpu", 2)
            settings.save(one, {"queue_depth": 8})
            self.assertEqual(settings.best(two)["queue_depth"], 8)
            settings.save(two, {"queue_depth": 128})
            self.assertEqual((settings.best(one)["queue_depth"], settings.best(two)["queue_depth"]), (8, 128))


class Watching(unittest.TestCase):
    """Real processes that print what ranks would."""

    def watch(self, script, count=2, may_abort=True, plan=PLAN, grace=30):
        with tempfile.TemporaryDirectory() as folder, unittest.mock.patch.object(ranks, "GRACE_SECONDS", grace):
            place = pathlib.Path(folder)
            environments = [{**processes.plain_environment(), **ranks.variables(rank, count, 1), "PLACE": folder} for rank in range(count)]
            try:
                return processes.watch([sys.executable, "-c", STEP + script], place / "steps.out", place / "log", plan, Machine(place, 1, None, ""), environments,
                                       prints_lines=True, may_abort=may_abort)
            finally:
                for file in place.glob("pid-*"):
                    self.assertFalse(pathlib.Path("/proc", file.read_text()).exists(), file.name)

    def test_takes_its_samples_of_all_ranks_at_the_lines_of_the_first(self):
        run = self.watch("for n in range(3): line(event='step', loss=float(rank)); time.sleep(0.2)\n")
        self.assertEqual((run.losses, len(run.samples)), ([0.0] * 3, 2))
        self.assertEqual([len(sample.read_by_rank) for sample in run.samples], [2, 2])

    def test_names_the_rank_that_failed_and_ends_those_that_wait_for_it(self):
        script = ("line(event='step', loss=7.0)\npathlib.Path(os.environ['PLACE'], f'pid-{rank}').write_text(str(os.getpid()))\n"
                  "while not pathlib.Path(os.environ['PLACE'], 'pid-0').exists(): time.sleep(0.01)\nif rank == 1: sys.exit('no room left')\ntime.sleep(600)")
        with self.assertRaisesRegex(RunError, "^rank 1 ended with status 1 after 1 of 3 steps: no room left$") as caught:
            self.watch(script, grace=0.5)
        self.assertIn("no room left", caught.exception.log)

    def test_forgives_an_abort_of_one_rank_after_the_last_step_of_all(self):
        script = "for n in range(3): line(event='step', loss=7.0); time.sleep(0.2)\nif rank == 1: os.kill(os.getpid(), signal.SIGABRT)\ntime.sleep(0.5)"
        self.assertEqual(len(self.watch(script).losses), 3)
        with self.assertRaisesRegex(RunError, "rank 1 was killed by SIGABRT after 3 of 3"):
            self.watch(script, may_abort=False)

    def test_refuses_ranks_that_end_early(self):
        with self.assertRaisesRegex(RunError, "^ended with status 0 after 1 of 3"):
            self.watch("line(event='step', loss=7.0)")


class Programs(unittest.TestCase):
    """DeepSpeed's Python and gsnake, as scripts that say what they were started with."""

    WORK = Workload(micro_batches=4, threads=4, ranks=2)

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.place = pathlib.Path(temporary.name)

    def script(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!{sys.executable}\n" + STEP + text)
        path.chmod(0o755)
        return path

    def deepspeed(self, text):
        self.script(self.place / "env/bin/python", text)
        return processes.run_deepspeed(self.WORK, self.place / "turn", "tokens", PLAN, "bf16", settings.DEFAULTS, Machine(self.place, 1, None, ""))

    def test_loss_of_a_step_is_the_mean_over_deepspeeds_ranks(self):
        run = self.deepspeed("line(event='start')\nfor n in range(3): line(event='step', loss=7.0 - n + rank); time.sleep(0.3)\nline(event='end')")
        self.assertEqual(run.losses, [7.5, 6.5, 5.5])

    def test_deepspeeds_ranks_have_to_do_the_same_steps(self):
        with self.assertRaisesRegex(RunError, "^DeepSpeed rank 1 has told of 2 steps, rank 0 of 3$"):
            self.deepspeed("for n in range(3 - rank): line(event='step', loss=7.0); time.sleep(0.3)")

    def test_buffers_of_all_ranks_in_shared_memory_go(self):
        memory = pathlib.Path("/dev/shm")
        if not os.access(memory, os.W_OK):
            self.skipTest("no /dev/shm to write to")
        before = set(memory.glob("deepspeed_*"))
        self.deepspeed("port = os.environ['MASTER_PORT']\npathlib.Path(f'/dev/shm/deepspeed_allreduce_buffer_0_127.0.0.1_{port}_{rank}').write_text('')\n"
                       "for n in range(3): line(event='step', loss=7.0); time.sleep(0.3)")
        self.assertLessEqual(set(memory.glob("deepspeed_*")), before)

    GSNAKE = ("run = pathlib.Path(sys.argv[2]).parent / 'run'\nrun.mkdir(exist_ok=True)\n"
              "(run / f'variables{rank}.json').write_text(json.dumps(dict(os.environ)))\nif rank > 0: time.sleep(1); sys.exit()\n"
              "lines = open(run / 'metrics.jsonl', 'a', buffering=1)\nlines.write(json.dumps({'event': 'start', 'io': {'direct': True}}) + '\\n')\n"
              "for n in range(3): lines.write(json.dumps({'step': n, 'loss': 7.0}) + '\\n'); time.sleep(0.3)\n")

    def gsnake(self, work):
        path = self.script(self.place / "gsnake", self.GSNAKE)
        with unittest.mock.patch.dict(os.environ, {"RANK": "5", "WORLD_SIZE": "9", "GLOO_SOCKET_IFNAME": "eth7"}):
            processes.run_gsnake(work, path, self.place / "turn", "tokens", PLAN, {}, Machine(self.place, 1, None, ""))
        return {file.stem: json.loads(file.read_text()) for file in (self.place / "turn/run").glob("variables*.json")}

    def test_gsnake_is_started_as_torchrun_would_start_it(self):
        told = self.gsnake(self.WORK)
        self.assertEqual(sorted(told), ["variables0", "variables1"])
        for rank in (0, 1):
            own = told[f"variables{rank}"]
            self.assertEqual([own[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR")], [str(rank), str(rank), "2", "2", "127.0.0.1"])
        self.assertEqual(told["variables0"]["MASTER_PORT"], told["variables1"]["MASTER_PORT"])
        train = tomllib.loads((self.place / "turn/train.toml").read_text())["train"]
        self.assertEqual((train["micro_batches"], train["compute_threads"]), (4, 2))

    def test_gsnake_alone_is_no_rank_of_the_callers(self):
        told = self.gsnake(Workload(threads=1))
        self.assertEqual(list(told), ["variables-1"])
        self.assertFalse({"WORLD_SIZE", "MASTER_PORT", "GLOO_SOCKET_IFNAME"} & set(told["variables-1"]))


class Bytes(unittest.TestCase):

    WORK = Workload(layers=8, hidden=1024, heads=16, intermediate=2752, micro_batches=8, ranks=2)

    def test_of_a_step_are_those_of_all_ranks_and_of_each(self):
        counts = {11: (1.0, 100, 10, 3), 12: (2.0, 300, 30, 4)}
        running = ranks.Ranks()
        running.processes = [unittest.mock.Mock(pid=pid, poll=lambda: 0) for pid in counts]
        with unittest.mock.patch.object(ranks, "_counts", counts.get):
            sample = running.sample()
        self.assertEqual((sample.cpu_seconds, sample.read_bytes, sample.written_bytes, sample.minor_faults), (3.0, 400, 40, 7))
        self.assertEqual((sample.read_by_rank, sample.written_by_rank), ((100, 300), (10, 30)))

    def test_that_formulas_give_fall_as_one_over_the_ranks(self):
        block, whole = self.WORK.block_parameters, self.WORK.parameters
        self.assertAlmostEqual(measure.deepspeed_formula(self.WORK, settings.DEFAULTS)["read"], 16 + 2 * 4 * (1 + 6 * block / whole))
        start = {"formula_ssd_read_bytes": 7 * whole, "formula_ssd_write_bytes": 6 * whole}  # a rank's, as gsnake says it
        self.assertEqual(measure.gsnake_formula(self.WORK, start), {"read": 14.0, "written": 12.0})

    def row(self):
        """Steps of DeepSpeed of 4 s, of gsnake of 2 s, in each of which rank 0 reads as the formula says and rank 1 a MB more."""
        formula = {"deepspeed": {"read": 40.0, "written": 18.0}, "gsnake": {"read": 14.0, "written": 12.0}}
        taken = {}
        for name, seconds in (("deepspeed", 4.0), ("gsnake", 2.0)):
            read, written = (formula[name][way] * self.WORK.parameters / 2 for way in ("read", "written"))
            samples = [Sample(seconds * n, 0.0, n * (2 * read + 1e6), 2 * n * written, 0, (n * read, n * (read + 1e6)), (n * written, n * written)) for n in range(3)]
            run = Run({"base_bytes": 0}, samples, [], 1, 1)
            taken[name] = [measure.turn_of(run, self.WORK, Plan(warm_up=1, measured=2))]
        return measure.comparison(taken, self.WORK, formula)

    def test_of_a_rank_stand_beside_their_formulas(self):
        row, half = self.row(), self.WORK.parameters / 2e6
        self.assertEqual(row["ratio"], 2.0)
        self.assertAlmostEqual(row["gsnake"]["read_bytes_a_rank"]["high"] - row["gsnake"]["read_bytes_a_rank"]["low"], 1e6)
        self.assertAlmostEqual(row["formula_bytes_a_rank"]["deepspeed"]["read"], 40e6 * half)
        text = f"{40 * half + 0.5:.1f} ({40 * half:.1f}..{40 * half + 1:.1f}) / {40 * half:.1f}"
        self.assertIn(text, measure.table_of_ranks([row]))
        self.assertIn(text, report.bytes_of_ranks({"rows": [row]}))

    def test_of_a_rank_are_not_told_of_one_alone(self):
        turn = measure.turn_of(Run({"base_bytes": 0}, [Sample(n, 0, 0, 0, 0, (0,), (0,)) for n in range(3)], [], 1, 1), Workload(), Plan(warm_up=1, measured=2))
        self.assertNotIn("read_bytes_a_rank", measure.summary_of([turn], Workload()))


if __name__ == "__main__":
    unittest.main(verbosity=1)
