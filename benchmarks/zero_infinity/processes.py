"""Runs one of the two programs and measures it from outside, the same way for both: by the clock and the kernel's counts at each step's line."""
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import workload as workloads

HERE = pathlib.Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")


class RunError(Exception):
    """One line: what failed, on what, why."""


@dataclasses.dataclass
class Sample:
    """At the moment when a step's line was read."""
    seconds: float
    cpu_seconds: float
    read_bytes: int
    written_bytes: int
    loss: float


@dataclasses.dataclass
class Run:
    start: dict  # the program's first line
    samples: list  # one a step
    losses: list
    warm_up_peak_bytes: int
    steady_peak_bytes: int


@dataclasses.dataclass
class Plan:
    """What happens around the steps of a run. Warm-up steps come first; `settle` more ones are run with the throttle on and not counted, and
    `tail` ones at the end, which hold what a program does when it stops."""
    warm_up: int = 2
    settle: int = 0
    measured: int = 3
    tail: int = 0
    rate: int = 0  # bytes a second each way; 0: the drive as it is
    timeout: float = 1800

    @property
    def steps(self):
        return self.warm_up + self.settle + self.measured + self.tail


def _status(pid, key):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return 0


def _sample(pid, loss):
    counts = dict(line.split(": ") for line in open(f"/proc/{pid}/io").read().splitlines())
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return Sample(time.perf_counter(), (int(fields[11]) + int(fields[12])) / TICKS, int(counts["read_bytes"]), int(counts["write_bytes"]), loss)


class _Lines:
    """Complete lines of a file that grows, or of a pipe's file, as they come."""

    def __init__(self, path, process, deadline):
        self.path, self.process, self.deadline, self.file, self.rest = path, process, deadline, None, ""

    def __iter__(self):
        while True:
            ended = self.process.poll() is not None
            if self.file is None and self.path.exists():
                self.file = open(self.path)
            chunk = self.file.read() if self.file else ""
            if chunk:
                *lines, self.rest = (self.rest + chunk).split("\n")
                yield from lines
            elif ended:
                return
            elif time.monotonic() > self.deadline:
                raise RunError(f"{self.path.name}: no line within the time limit")
            else:
                time.sleep(0.002)


def last_words(log):
    """gsnake's line of error, or the last lines, which are what Python says."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    said = [line for line in lines if line.startswith("gsnake: error: ")]
    return said[-1] if said else " | ".join(lines[-2:])


def watch(command, lines_of, log, plan, group, drive):
    """Runs `command`, whose JSON lines appear in the file `lines_of`; its own output goes to `log`. Raises RunError."""
    with open(log, "w") as output, open(lines_of, "w") if lines_of.suffix == ".out" else contextlib.nullcontext(output) as results:
        process = subprocess.Popen(command, stdout=results, stderr=output, preexec_fn=group.enter if group else None)
    try:
        return _follow(process, lines_of, log, plan, group, drive)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        if plan.rate:
            group.throttle(drive, 0)


def _follow(process, lines_of, log, plan, group, drive):
    run = Run({}, [], [], 0, 0)
    for text in _Lines(lines_of, process, time.monotonic() + plan.timeout):
        line = json.loads(text)
        if line.get("event") == "start":
            run.start = line
        elif line.get("event", "step") == "step":
            run.losses.append(line["loss"])
            if process.poll() is None and len(run.samples) < plan.steps - plan.tail:
                run.samples.append(_sample(process.pid, line["loss"]))
                _between_steps(process.pid, run, plan, group, drive)
    status = process.wait()
    # DeepSpeed's threads of asynchronous I/O now and then abort its interpreter as it ends, when all has been measured.
    if status == -signal.SIGABRT and len(run.losses) == plan.steps and lines_of.suffix == ".out":
        print(f"note: a DeepSpeed process aborted after its last step: {last_words(log)}", file=sys.stderr)
        return run
    if status != 0 or len(run.losses) != plan.steps:
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        raise RunError(f"{how} after {len(run.losses)} of {plan.steps} steps: {last_words(log)}")
    return run


def _between_steps(pid, run, plan, group, drive):
    done = len(run.samples)
    if done == plan.warm_up:
        run.warm_up_peak_bytes = _status(pid, "VmHWM")
        pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak starts over
        if plan.rate:
            group.throttle(drive, plan.rate)
    if done == plan.steps - plan.tail:
        run.steady_peak_bytes = _status(pid, "VmHWM")
        if plan.rate:
            group.throttle(drive, 0)


def run_deepspeed(work, python, folder, tokens, plan, compute, knobs, group=None, drive=None):
    folder.mkdir(parents=True)
    file = folder / "workload.json"
    file.write_text(json.dumps(workloads.deepspeed_workload(work, tokens, folder / "nvme", plan.steps, compute, knobs)))
    (folder / "nvme").mkdir()
    try:
        return watch([str(python), str(HERE / "runner.py"), str(file)], folder / "steps.out", folder / "log", plan, group, drive)
    except RunError as error:
        raise RunError(f"DeepSpeed {error}") from None


def run_gsnake(work, program, folder, tokens, plan, keys=None, group=None, drive=None):
    folder.mkdir(parents=True)
    config = folder / "train.toml"
    config.write_text(workloads.to_toml(workloads.gsnake_config(work, tokens, folder, plan.steps, keys or {})))
    try:
        return watch([str(program), "train", str(config)], folder / "run/metrics.jsonl", folder / "log", plan, group, drive)
    except RunError as error:
        raise RunError(f"gsnake train {error}") from None
