#!/usr/bin/env python3
"""gsnake beside DeepSpeed ZeRO-Infinity in little time, on a machine without a network: what scripts/gpu-check calls as its part deepspeed.

    python3 benchmarks/zero_infinity/on_gpu.py --gsnake PROGRAM --out FILE [OPTIONS]

Makes DeepSpeed's environment from build/deepspeed.tar.xz (scripts/gpu-check --pack --deepspeed) and the torch of the Python that runs this, compiles its
extensions, then trains with one program after the other: one warm-up step and two measured ones for each number of micro-batches. The JSON is written
anew after each run, so that it holds what there is when time is up. The exit status is 0 where both programs trained, with the same losses.
"""
import argparse
import json
import math
import os
import pathlib
import shutil
import sys
import tempfile
import time

import carried
import measure
import processes
import settings
from peaks import Peaks
from workload import Workload

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Kernels differ between the two (gsnake's own, DeepSpeed's from torch), so that losses of the same bf16 weights agree up to the rounding of activations.
FIRST_LOSS_TOLERANCE = 5e-3
LOSS_TOLERANCE = 3e-2
MEASURED = 2
PLANS = {"gsnake": {"warm_up": 1, "measured": MEASURED, "tail": 1}, "deepspeed": {"warm_up": 1, "measured": MEASURED, "tail": 0}}
USED_VOCAB = 64  # of the vocabulary: that no other token comes is learned within the few steps, and shows that a program learns


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0", help="cpu or cuda:N, of both programs")
    parser.add_argument("--gsnake", required=True, help="the program")
    parser.add_argument("--libraries", help="LD_LIBRARY_PATH of gsnake alone")
    parser.add_argument("--archive", type=pathlib.Path, default=ROOT / "build/deepspeed.tar.xz")
    parser.add_argument("--environment", type=pathlib.Path, help="what benchmarks/zero_infinity/setup made, in place of the archive")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="on the drive to be used; a temporary folder is made in it")
    parser.add_argument("--seconds", type=float, default=165, help="for all of it")
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=2048, help="a multiple of 64")
    parser.add_argument("--vocab", type=int, default=8192)
    parser.add_argument("--sequence-length", type=int, default=1024)
    parser.add_argument("--micro-batches", type=lambda text: [int(word) for word in text.split(",")], default=[8, 1])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--budget", default="16 GiB", help="gsnake's, of the device and of the host each")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    return parser.parse_args()


def tell(text):
    print(text, file=sys.stderr, flush=True)


def workload(arguments, micro_batches):
    hidden = arguments.hidden
    return Workload(layers=arguments.layers, hidden=hidden, heads=max(hidden // 128, 1), intermediate=-(-hidden * 8 // 3 // 64) * 64, vocab=arguments.vocab,
                    used_vocab=min(USED_VOCAB, arguments.vocab), sequence_length=arguments.sequence_length, micro_batches=micro_batches, threads=arguments.threads,
                    device=arguments.device)


class Comparison:

    def __init__(self, arguments, place, deadline):
        self.arguments, self.place, self.deadline = arguments, place, deadline
        self.knobs = settings.best(settings.kind_of(0, arguments.device))
        self.keys = {"memory.device_budget": arguments.budget, "memory.host_budget": arguments.budget}
        # What gsnake's "auto" is on a GPU; on a CPU gsnake says it, and runs first.
        self.compute = None if arguments.device == "cpu" else "bf16"
        self.report = {"passed": False, "device": arguments.device, "workload": workload(arguments, 1).as_json(), "settings": self.knobs, "keys": self.keys,
                       "warm_up_steps": 1, "rows": []}

    def save(self):
        self.arguments.out.write_text(json.dumps(self.report, indent=1) + "\n")

    def left(self):
        return self.deadline - time.monotonic()

    def prepare(self):
        """DeepSpeed's environment, a folder."""
        if self.arguments.environment:
            return self.arguments.environment.resolve()
        accelerator, folder = self.arguments.device.partition(":")[0], self.place / "environment"
        begin = time.monotonic()
        self.report["packages_installed"] = carried.unpack(self.arguments.archive, folder)
        self.report["unpack_seconds"] = time.monotonic() - begin
        self.report["compile_seconds"] = carried.compile_extensions(folder, accelerator, self.left(), self.arguments.threads)
        tell(f"DeepSpeed unpacked in {self.report['unpack_seconds']:.0f} s, its extensions compiled in {self.report['compile_seconds']:.0f} s")
        return folder

    def run_one(self, bench, name, work):
        """What a program took for this work, or why it failed."""
        plan = processes.Plan(**PLANS[name], silence=math.inf, deadline=self.deadline)
        begin = time.monotonic()
        with Peaks(work.device) as peaks:
            try:
                run = bench.gsnake(work, plan, self.keys) if name == "gsnake" else bench.deepspeed(work, plan, self.compute or "fp32", self.knobs)
                if name == "deepspeed":
                    measure.check_state(run.start)
            except processes.RunError as error:
                seen = {"losses": error.run.losses, "steps_seconds": measure.seconds_of(error.run.samples)} if error.run else {}
                return {"error": str(error), "log": error.log, "seconds": time.monotonic() - begin, **seen}
        if name == "gsnake":
            self.compute = run.start["compute_dtype"]
        else:
            self.report["versions"], self.report["deepspeed_config"] = run.start["versions"], run.start["config"]
            self.report["share_of_weights_on_drive"] = run.share_on_nvme
        turn = measure.turn_of(run, work, plan)
        per_parameter = {f"{way}_bytes_per_parameter": turn[f"{way}_bytes"] / work.parameters for way in ("read", "written")}
        return {**turn, **per_parameter, "losses": run.losses, "peak_resident_bytes": max(run.warm_up_peak_bytes, run.steady_peak_bytes),
                "peak_host_bytes": peaks.host_bytes, "peak_device_bytes": peaks.device_bytes, "seconds": time.monotonic() - begin}

    def compare(self, row):
        """What the two runs of a row say beside each other."""
        ours, theirs = row["gsnake"], row["deepspeed"]
        if "error" in ours or "error" in theirs:
            return
        row["ratio"] = theirs["step_seconds"] / ours["step_seconds"]
        learned = ours["losses"][0] - ours["losses"][MEASURED]
        row["agreement"] = {"learned": learned}
        try:
            row["agreement"].update(measure.check_losses(ours["losses"], theirs["losses"], FIRST_LOSS_TOLERANCE, LOSS_TOLERANCE))
            if learned < 2 * LOSS_TOLERANCE:
                raise processes.RunError(f"the losses can't tell whether the programs learn: they fall by {learned:.2g} only")
        except processes.RunError as error:
            row["agreement"]["error"] = str(error)

    def run(self):
        environment = self.prepare()
        self.save()
        machine = processes.Machine(environment, self.arguments.threads, None, None)
        bench = measure.Bench(self.place, self.arguments.gsnake, machine, {"LD_LIBRARY_PATH": self.arguments.libraries} if self.arguments.libraries else None)
        for count in self.arguments.micro_batches:
            work, row = workload(self.arguments, count), {"micro_batches": count, "tokens_per_step": workload(self.arguments, count).tokens_per_step}
            self.report["rows"].append(row)
            for name in ("gsnake", "deepspeed"):  # the one that takes longer comes last, should time be up
                row[name] = self.run_one(bench, name, work) if self.left() > 0 else {"error": "not run: time was up"}
                tell(line(count, name, row[name]))
                self.save()
            self.compare(row)
        self.report["passed"] = all("agreement" in row and "error" not in row["agreement"] for row in self.report["rows"])


def line(count, name, cell):
    if "error" in cell:
        return f"M = {count}, {name}: {cell['error']}"
    gib = lambda amount: "unknown" if amount is None else f"{amount / 2**30:.1f} GiB"
    return (f"M = {count}, {name}: {cell['step_seconds']:.2f} s a step, {cell['tokens_per_second']:.0f} tokens/s, "
            f"{cell['read_bytes_per_parameter']:.2f} B/parameter read, {cell['written_bytes_per_parameter']:.2f} written; at most {gib(cell['peak_host_bytes'])} of the host, {gib(cell['peak_device_bytes'])} of the device")


def main():
    arguments = parse()
    deadline = time.monotonic() + arguments.seconds
    place = pathlib.Path(tempfile.mkdtemp(prefix="gsnake-deepspeed-", dir=arguments.folder))
    comparison = Comparison(arguments, place, deadline)
    try:
        comparison.run()
    except carried.CarryError as error:
        comparison.report["error"] = str(error)
        tell(f"on_gpu: {error}")
    finally:
        comparison.save()
        shutil.rmtree(place, ignore_errors=True)
    for row in comparison.report["rows"]:
        if "ratio" in row:
            tell(f"M = {row['micro_batches']}: DeepSpeed takes {row['ratio']:.2f} times as long; {row['agreement'].get('error', 'the losses agree')}")
    sys.exit(0 if comparison.report["passed"] else 1)


if __name__ == "__main__":
    main()
