"""Turns of the two programs on one workload, and what comes of them: medians, spread, ratios, and the bytes beside their formulas."""
import os
import shutil
import statistics

import processes
import workload as workloads

# Losses of the two agree within this or nothing is measured. The first step's follow from the same weights by the same operations; what comes
# after them differs by bf16's rounding of gradients and weights, in another order of sums; the fewer tokens
# a step has, the more. Losses of two batches differ by ten times that.
FIRST_LOSS_TOLERANCE = 1e-5
LOSS_TOLERANCE = 1e-2


def spread(values):
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def turn_of(run, work, plan):
    """What the counted steps of a run took, each."""
    first = plan.warm_up + plan.settle - 1
    begin, end = run.samples[first], run.samples[first + plan.measured]
    per_step = lambda name: (getattr(end, name) - getattr(begin, name)) / plan.measured
    seconds = per_step("seconds")
    return {
        "step_seconds": seconds, "tokens_per_second": work.tokens_per_step / seconds, "cpu_seconds": per_step("cpu_seconds"),
        "read_bytes": per_step("read_bytes"), "written_bytes": per_step("written_bytes"), "base_bytes": run.start["base_bytes"],
        "warm_up_peak_bytes": run.warm_up_peak_bytes, "steady_peak_bytes": run.steady_peak_bytes,
        "steps_seconds": [after.seconds - before.seconds for before, after in zip(run.samples, run.samples[1:])],
        "load_average": os.getloadavg()[0],
    }


def summary_of(turns, work):
    """Medians over turns, with the lowest and the highest."""
    names = ("step_seconds", "tokens_per_second", "cpu_seconds", "read_bytes", "written_bytes", "base_bytes", "warm_up_peak_bytes", "steady_peak_bytes")
    summary = {name: spread([turn[name] for turn in turns]) for name in names}
    for name in ("read", "written"):
        summary[f"{name}_bytes_per_parameter"] = summary[f"{name}_bytes"]["median"] / work.parameters
    summary["steady_bytes_beyond_base"] = statistics.median(turn["steady_peak_bytes"] - turn["base_bytes"] for turn in turns)
    return summary


def formulas(work, knobs, keys):
    """Bytes a parameter and step. GreedySnake: docs/schedule.md, a block 14 read and 12 written, embedding and head, which are visited once, 12 and 12;
    with weights in host memory all 10 and 12.
    DeepSpeed: each micro-batch reads all weights in forward, and in backward those of the blocks that it no longer has and of the head's; the
    optimizer reads 12 of state and 4 of gradient, and writes as much and 2 of weights."""
    blocks, ends = work.layers * work.block_parameters, work.parameters - work.layers * work.block_parameters
    again = blocks - kept_blocks(work, knobs) * work.block_parameters
    ours_read = 10.0 if keys.get("placement.weights.host") == 1 else (14 * blocks + 12 * ends) / work.parameters
    weights = 2 * work.micro_batches * (work.parameters + again) / work.parameters
    return {"gsnake": {"read": ours_read, "written": 12.0}, "deepspeed": {"read": 16 + weights, "written": 18.0, "read_in_forward_and_backward": weights}}


def kept_blocks(work, knobs):
    """Blocks that are still there when backward turns to them: the window, if what is used again so soon is kept at all."""
    return min(int(knobs["live_blocks"]), work.layers) if knobs["reuse_blocks"] >= 1 else 0


def predicted_ratios(formula):
    """Step times when the drive is all that counts, read and write at the same rate: DeepSpeed's optimizer overlaps reading and writing, or does not."""
    theirs, ours = formula["deepspeed"], formula["gsnake"]
    limit = max(ours["read"], ours["written"])
    return {"if_their_optimizer_overlaps": (theirs["read_in_forward_and_backward"] + max(theirs["read"] - theirs["read_in_forward_and_backward"], theirs["written"])) / limit,
            "if_it_does_not": (theirs["read"] + theirs["written"]) / limit}


class Bench:
    """Where runs take place, and the means: a folder on the drive, the two programs, the control group."""

    def __init__(self, folder, program, python, group, drive):
        self.folder, self.program, self.python, self.group, self.drive = folder, program, python, group, drive
        self.count = 0

    def _place(self):
        self.count += 1
        return self.folder / f"turn-{self.count}"

    def tokens(self, work, steps):
        path = self.folder / f"tokens-{work.micro_batches}-{work.sequence_length}-{work.rows}-{work.vocab}-{steps}.bin"
        if not path.exists():
            workloads.write_tokens(path, work, steps)
        return path

    def gsnake(self, work, plan, keys=None):
        place = self._place()
        try:
            return processes.run_gsnake(work, self.program, place, self.tokens(work, plan.steps), plan, keys, self.group, self.drive)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def deepspeed(self, work, plan, compute, knobs):
        place = self._place()
        try:
            return processes.run_deepspeed(work, self.python, place, self.tokens(work, plan.steps), plan, compute, knobs, self.group, self.drive)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def compare_losses(self, work, steps, knobs, keys):
        """Both programs for a few steps. Raises RunError when their losses differ by more than the tolerance."""
        ours = self.gsnake(work, processes.Plan(warm_up=1, measured=steps - 1), keys)
        compute = ours.start["compute_dtype"]
        theirs = self.deepspeed(work, processes.Plan(warm_up=1, measured=steps - 1), compute, knobs)
        if theirs.start["parameters"] != ours.start["parameters"]:
            raise processes.RunError(f"different work: gsnake has {ours.start['parameters']} parameters, DeepSpeed {theirs.start['parameters']}")
        return {"steps": steps, "gsnake": ours.losses, "deepspeed": theirs.losses, "compute_dtype": compute,
                "parameters_on_nvme": theirs.start["parameters_on_nvme"], "optimizer_parameters_on_nvme": theirs.start["optimizer_parameters_on_nvme"],
                "versions": theirs.start["versions"], "deepspeed_config": theirs.start["config"], **check_losses(ours.losses, theirs.losses)}


def check_losses(ours, theirs):
    differences = [abs(a - b) for a, b in zip(ours, theirs)]
    for step, (difference, tolerance) in enumerate(zip(differences, [FIRST_LOSS_TOLERANCE] + [LOSS_TOLERANCE] * len(differences)), 1):
        if not difference <= tolerance:
            raise processes.RunError(f"the programs compute different things: losses of step {step} differ by {difference:.2g}, more than {tolerance}: "
                                     f"gsnake {ours[step - 1]:.6f}, DeepSpeed {theirs[step - 1]:.6f}")
    return {"first_tolerance": FIRST_LOSS_TOLERANCE, "tolerance": LOSS_TOLERANCE, "first_difference": differences[0], "largest_difference": max(differences)}


def alternate(bench, work, plans, turns, compute, knobs, keys, tell):
    """`turns` times DeepSpeed and then gsnake; gives what there is after each turn."""
    results = {"deepspeed": [], "gsnake": []}
    for number in range(turns):
        theirs = bench.deepspeed(work, plans["deepspeed"], compute, knobs)
        ours = bench.gsnake(work, plans["gsnake"], keys)
        check_losses(ours.losses, theirs.losses)
        results["deepspeed"].append(turn_of(theirs, work, plans["deepspeed"]))
        results["gsnake"].append(turn_of(ours, work, plans["gsnake"]))
        tell(f"M = {work.micro_batches}, turn {number + 1} of {turns}: DeepSpeed {results['deepspeed'][-1]['step_seconds']:.2f} s, "
             f"gsnake {results['gsnake'][-1]['step_seconds']:.2f} s a step, load {os.getloadavg()[0]:.1f}")
        yield results


def comparison(results, work, knobs, keys):
    """The table's row of one number of micro-batches."""
    formula = formulas(work, knobs, keys)
    ratios = [theirs["step_seconds"] / ours["step_seconds"] for theirs, ours in zip(results["deepspeed"], results["gsnake"])]
    summary = {name: summary_of(turns, work) for name, turns in results.items()}
    return {"micro_batches": work.micro_batches, "tokens_per_step": work.tokens_per_step, **summary, "formula_bytes_per_parameter": formula,
            "ratio": summary["deepspeed"]["step_seconds"]["median"] / summary["gsnake"]["step_seconds"]["median"], "ratio_by_turn": spread(ratios),
            "ratio_that_bytes_predict": predicted_ratios(formula), "turns": results}


def table(rows):
    """Text of a comparison."""
    lines = ["  M   DeepSpeed s (low..high)     gsnake s (low..high)    ratio  bytes predict   DeepSpeed R+W B/param   gsnake R+W B/param"]
    for row in rows:
        cell = lambda name: "{median:7.2f} ({low:.2f}..{high:.2f})".format(**row[name]["step_seconds"])
        moved = lambda name: f"{row[name]['read_bytes_per_parameter']:6.2f} + {row[name]['written_bytes_per_parameter']:5.2f}"
        predicted = row["ratio_that_bytes_predict"]
        lines.append(f"{row['micro_batches']:3}  {cell('deepspeed'):>24} {cell('gsnake'):>24}   {row['ratio']:6.2f}   "
                     f"{predicted['if_their_optimizer_overlaps']:.2f}..{predicted['if_it_does_not']:.2f}      {moved('deepspeed'):>18}    {moved('gsnake'):>18}")
    return "\n".join(lines)
