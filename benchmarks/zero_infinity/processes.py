"""Runs one of the two programs, on one rank or several, and measures it from outside, the same way for both: by the clock and the kernel's counts at each
line of a step that the first rank writes."""
import contextlib
import ctypes
import dataclasses
import json
import math
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import ranks
import workload as workloads
from ranks import Sample

HERE = pathlib.Path(__file__).resolve().parent
ON_NVME = 0.99  # the share of parameters that have to be on the drive; the rest are norms


class RunError(Exception):
    """One line: what failed, on what, why. `log` is the end of what the program said, `run` what was seen of it, where it ran at all."""

    def __init__(self, what, log="", run=None):
        super().__init__(what)
        self.log, self.run = log, run


@dataclasses.dataclass
class Run:
    start: dict  # the program's first line
    samples: list  # one a step
    losses: list
    warm_up_peak_bytes: int
    steady_peak_bytes: int

    @property
    def share_on_nvme(self):
        return self.start["parameters_on_nvme"] / self.start["parameters"]

    def counted_pairs(self, plan):
        """The samples before and after each counted step."""
        first = plan.warm_up + plan.settle - 1
        counted = self.samples[first:first + plan.measured + 1]
        return list(zip(counted, counted[1:]))


@dataclasses.dataclass
class Plan:
    """What happens around the steps of a run. Warm-up steps come first; `settle` more ones are run with the throttle on and not counted, and
    `tail` ones at the end, which hold what a program does when it stops."""
    warm_up: int = 2
    settle: int = 0
    measured: int = 3
    tail: int = 1
    rate: int = 0  # bytes a second each way; 0: the drive as it is
    silence: float = 1800  # seconds without a line after which a run has failed
    deadline: float = math.inf  # of time.monotonic(), at which a run has failed

    @property
    def steps(self):
        return self.warm_up + self.settle + self.measured + self.tail


@dataclasses.dataclass
class Machine:
    """What runs share: where DeepSpeed's environment is, how many cores a program may use, the control group (or None), the drive."""
    environment: pathlib.Path
    cores: int
    group: object
    drive: str

    def enter(self):
        """For a child to call before it becomes the program, which ends with this process and keeps to its cores."""
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:self.cores])
        if self.group:
            self.group.enter()


class _Lines:
    """Complete lines of a file that grows, as they come."""

    def __init__(self, path, running, plan):
        self.path, self.running, self.plan, self.file, self.rest = path, running, plan, None, ""

    def __iter__(self):
        try:
            yield from self._as_they_come()
        finally:
            if self.file:
                self.file.close()

    def _as_they_come(self):
        heard = time.monotonic()
        while True:
            ended = self.running.over()
            if self.file is None and self.path.exists():
                self.file = open(self.path)
            chunk = self.file.read() if self.file else ""
            if chunk:
                heard = time.monotonic()
                *lines, self.rest = (self.rest + chunk).split("\n")
                yield from lines
            elif ended:
                return
            elif time.monotonic() > heard + self.plan.silence:
                raise RunError(f"said nothing for {self.plan.silence:.0f} s")
            elif time.monotonic() > self.plan.deadline:
                raise RunError("was not done in time")
            else:
                time.sleep(0.002)


def last_words(log):
    """gsnake's line of error, or the last lines, which are what Python says."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    said = [line for line in lines if line.startswith("gsnake: error: ")]
    return said[-1] if said else " | ".join(lines[-2:])


def watch(command, lines_of, log, plan, machine, environments, prints_lines=False, may_abort=False):
    """Runs `command` once with each of `environments`, a rank each. The first one's JSON lines appear in the file `lines_of`, which it writes itself or, with
    `prints_lines`, on stdout; other output goes to `log`; ranks.file_of names the others' files. `may_abort`: an abort after the last step is no
    failure. Raises RunError."""
    run, running = Run({}, [], [], 0, 0), ranks.Ranks()
    try:
        with running:
            running.start(command, environments, lines_of, log, machine.enter, prints_lines)
            return _follow(running, run, lines_of, log, plan, machine, may_abort)
    except RunError as error:
        raise RunError(str(error), ranks.file_of(log, running.failed or 0).read_text(errors="replace")[-4000:], run) from None
    finally:
        if plan.rate:
            machine.group.throttle(machine.drive, 0)


def _follow(running, run, lines_of, log, plan, machine, may_abort):
    for text in _Lines(lines_of, running, plan):
        line = json.loads(text)
        if line.get("event") == "start":
            run.start = line
        elif line.get("event", "step") == "step":
            run.losses.append(line["loss"])
            if len(run.samples) < plan.steps - plan.tail:
                # A process that has ended has no counts any more.
                with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                    run.samples.append(running.sample())
                    _between_steps(running, run, plan, machine)
    _judge(running, run, log, plan, may_abort)
    return run


def _judge(running, run, log, plan, may_abort):
    """Raises RunError where not all has been done."""
    status = running.status()
    complete = len(run.losses) == plan.steps and len(run.samples) == plan.steps - plan.tail
    # DeepSpeed's threads of asynchronous I/O now and then abort its interpreter as it ends, when all has been measured.
    if may_abort and status == -signal.SIGABRT and complete:
        print(f"note: a DeepSpeed process aborted after its last step: {last_words(ranks.file_of(log, running.failed))}", file=sys.stderr)
    elif status != 0 or not complete:
        who = f"rank {running.failed} " if len(running.processes) > 1 and running.failed is not None else ""
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        raise RunError(f"{who}{how} after {len(run.losses)} of {plan.steps} steps: {last_words(ranks.file_of(log, running.failed or 0))}")


def _between_steps(running, run, plan, machine):
    done = len(run.samples)
    if done == plan.warm_up:
        run.warm_up_peak_bytes = running.peak_bytes()
        running.forget_peaks()
        if plan.rate:
            machine.group.throttle(machine.drive, plan.rate)
    if done == plan.steps - plan.tail:
        run.steady_peak_bytes = running.peak_bytes()
        if plan.rate:
            machine.group.throttle(machine.drive, 0)


def plain_environment():
    """The caller's without what would change what is compared."""
    unwanted = ("OMP_", "GOMP_", "KMP_", "MKL_", "MALLOC_", "DS_", "TORCH", "GSNAKE_", "GLOO_")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted) and name not in ranks.VARIABLES}


def deepspeed_environment(work, environment, knobs):
    accelerator, _, number = work.device.partition(":")
    own = {"OMP_NUM_THREADS": str(knobs["compute_threads"] or work.threads_a_rank), "DS_ACCELERATOR": accelerator,
           # A build for one accelerator is none for another.
           "TORCH_EXTENSIONS_DIR": str(environment / ("ext" if accelerator == "cpu" else f"ext-{accelerator}")),
           "TORCHINDUCTOR_COMPILE_THREADS": "1",  # nothing is compiled: no processes that wait to do so
           "PATH": f"{environment / 'env/bin'}:{os.environ.get('PATH', os.defpath)}"}
    if number:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        own["CUDA_VISIBLE_DEVICES"] = visible[int(number)] if int(number) < len(visible) and visible[0] else number  # the one it sees is its first
    if knobs["passive_wait"]:
        own.update(OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT="0")
    if knobs["mmap_threshold_bytes"]:
        own.update(MALLOC_MMAP_THRESHOLD_=str(knobs["mmap_threshold_bytes"]), MALLOC_TRIM_THRESHOLD_=str(knobs["mmap_threshold_bytes"]))
    return {**plain_environment(), **own}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _mean_losses(lines_of, count, losses):
    """Of each step, over all ranks: each prints its own micro-batches' mean, of which they have equally many. So DeepSpeed shares no more than it does by
    itself. Raises RunError."""
    each = [losses]
    for rank in range(1, count):
        lines = [json.loads(text) for text in ranks.file_of(lines_of, rank).read_text().splitlines()]
        each.append([line["loss"] for line in lines if line["event"] == "step"])
        if len(each[-1]) != len(losses):
            raise RunError(f"rank {rank} has told of {len(each[-1])} steps, rank 0 of {len(losses)}")
    return [sum(step) / count for step in zip(*each)]


def run_deepspeed(work, folder, tokens, plan, compute, knobs, machine, check_masters=False):
    folder.mkdir(parents=True)
    file, port = folder / "workload.json", free_port()
    file.write_text(json.dumps({**workloads.deepspeed_workload(work, tokens, folder / "nvme", plan.steps, compute, knobs), "trim_after": plan.warm_up,
                                "check_masters": check_masters}))
    (folder / "nvme").mkdir()
    # A process that was killed while it loaded its extensions leaves locks on which later ones wait for ever.
    for lock in machine.environment.glob("ext*/*/lock"):
        lock.unlink(missing_ok=True)
    environment = deepspeed_environment(work, machine.environment, knobs)
    try:
        run = watch([str(machine.environment / "env/bin/python"), str(HERE / "runner.py"), str(file)], folder / "steps.out", folder / "log", plan, machine,
                    [{**environment, **ranks.variables(rank, work.ranks, port)} for rank in range(work.ranks)], prints_lines=True, may_abort=True)
        run.losses = _mean_losses(folder / "steps.out", work.ranks, run.losses)
        return run
    except RunError as error:
        raise RunError(f"DeepSpeed {error}", error.log, error.run) from None
    finally:  # it leaves a buffer for all-reduce, which its port is part of the name of, in memory
        for buffer in pathlib.Path("/dev/shm").glob(f"deepspeed_*_{port}_*"):
            buffer.unlink(missing_ok=True)


def run_gsnake(work, program, folder, tokens, plan, keys, machine, variables=None):
    folder.mkdir(parents=True)
    config, port = folder / "train.toml", free_port()
    config.write_text(workloads.to_toml(workloads.gsnake_config(work, tokens, folder, plan.steps, keys)))
    environment = {**plain_environment(), **(variables or {})}
    environments = [{**environment, **ranks.variables(rank, work.ranks, port)} for rank in range(work.ranks)] if work.ranks > 1 else [environment]
    try:
        run = watch([str(program), "train", str(config)], folder / "run/metrics.jsonl", folder / "log", plan, machine, environments)
    except RunError as error:
        raise RunError(f"gsnake train {error}", error.log, error.run) from None
    if not run.start["io"]["direct"]:
        raise RunError(f"gsnake train: no O_DIRECT on this drive, which DeepSpeed needs: {run.start['io']['buffered_reason']}; name another with --folder")
    return run


def check_gsnake_masters(work, program, folder, machine):
    """That the masters of a run in `folder` which has learned nothing are the initial values that DeepSpeed is given. Raises RunError."""
    file = folder / "workload.json"
    file.write_text(json.dumps(workloads.deepspeed_workload(work, "", folder, 0, "", {})))
    for command in ([str(program), "export", "--run", str(folder / "run"), "--to", str(folder / "exported"), "--dtype", "fp32"],
                    [str(machine.environment / "env/bin/python"), str(HERE / "exported_masters.py"), str(file), str(folder / "exported")]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RunError(f"the initial weights can't be compared: {' '.join(done.stderr.split())[-300:]}")
