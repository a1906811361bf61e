"""Turns of the two programs on one workload, and what comes of them: medians, spread, ratios, and the bytes beside their formulas."""
import math
import os
import re
import shutil
import statistics

import processes
import workload as workloads

# Losses of the two agree within this or nothing is measured. The first step's follow from the same weights by the same operations; what comes
# after them differs by bf16's rounding of gradients and weights, in another order of sums; the fewer tokens a step has, the more. That a
# program which didn't learn would be found out, Bench.compare_losses makes sure of.
FIRST_LOSS_TOLERANCE = 1e-5
LOSS_TOLERANCE = 4e-3


def spread(values):
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def seconds_of(samples):
    return [after.seconds - before.seconds for before, after in zip(samples, samples[1:])]


def _by_rank(before, after, steps):
    return [(b - a) / steps for a, b in zip(before, after)]


def turn_of(run, work, plan):
    """What the counted steps of a run took, each."""
    pairs = run.counted_pairs(plan)
    begin, end = pairs[0][0], pairs[-1][1]
    per_step = lambda name: (getattr(end, name) - getattr(begin, name)) / len(pairs)
    seconds = per_step("seconds")
    return {
        "step_seconds": seconds, "tokens_per_second": work.tokens_per_step / seconds, "cpu_seconds": per_step("cpu_seconds"),
        "read_bytes": per_step("read_bytes"), "written_bytes": per_step("written_bytes"), "base_bytes": run.start["base_bytes"],
        "warm_up_peak_bytes": run.warm_up_peak_bytes, "steady_peak_bytes": run.steady_peak_bytes,
        "read_bytes_by_rank": _by_rank(begin.read_by_rank, end.read_by_rank, len(pairs)),
        "written_bytes_by_rank": _by_rank(begin.written_by_rank, end.written_by_rank, len(pairs)),
        "steps_seconds": seconds_of(run.samples),
        "load_average": os.getloadavg()[0],
    }


def summary_of(turns, work):
    """Medians over turns, with the lowest and the highest."""
    names = ("step_seconds", "tokens_per_second", "cpu_seconds", "read_bytes", "written_bytes", "base_bytes", "warm_up_peak_bytes", "steady_peak_bytes")
    summary = {name: spread([turn[name] for turn in turns]) for name in names}
    for name in ("read", "written"):
        summary[f"{name}_bytes_per_parameter"] = summary[f"{name}_bytes"]["median"] / work.parameters
        if work.ranks > 1:
            summary[f"{name}_bytes_a_rank"] = spread([moved for turn in turns for moved in turn[f"{name}_bytes_by_rank"]])
    summary["steady_bytes_beyond_base"] = statistics.median(turn["steady_peak_bytes"] - turn["base_bytes"] for turn in turns)
    return summary


def deepspeed_formula(work, knobs):
    """Bytes a parameter and step, of all ranks together: each of a rank's micro-batches reads its part of all weights in forward, and in backward those of the
    blocks that it no longer has; the optimizer reads 12 of state and 4 of gradient, and writes as much and 2 of weights. Weights in host memory move nothing."""
    if knobs["weights_in_host"]:
        return {"read": 16.0, "written": 16.0}
    kept = min(int(knobs["live_blocks"]), work.layers) if knobs["reuse_blocks"] >= 1 else 0
    passes = 1 + (work.layers - kept) * work.block_parameters / work.parameters
    return {"read": 16 + 2 * work.micro_batches_a_rank * passes, "written": 18.0}


def gsnake_formula(work, start):
    """What gsnake itself says that a step of a rank moves (docs/schedule.md), for all of them."""
    return {way: work.ranks * start[f"formula_ssd_{verb}_bytes"] / work.parameters for way, verb in (("read", "read"), ("written", "write"))}


def predicted_ratios(formula):
    """Step times when the drive is all that counts and reads as fast as it writes: gsnake reads and writes at the same time, DeepSpeed always
    or never."""
    theirs, ours = formula["deepspeed"], max(formula["gsnake"].values())
    return {"if_they_overlap": max(theirs.values()) / ours, "if_they_do_not": sum(theirs.values()) / ours}


class Bench:
    """Where runs take place, and the means: a folder on the drive, gsnake, what processes.Machine tells."""

    def __init__(self, folder, program, machine, variables=None):
        """`variables` go into gsnake's environment."""
        self.folder, self.program, self.machine, self.variables = folder, program, machine, variables
        self.count = 0

    def _place(self):
        self.count += 1
        return self.folder / f"turn-{self.count}"

    def tokens(self, work, steps):
        path = self.folder / f"tokens-{work.micro_batches}-{work.sequence_length}-{work.rows}-{work.vocab}-{steps}.bin"
        if not path.exists():
            workloads.write_tokens(path, work, steps)
        return path

    def gsnake(self, work, plan, keys=None, afterwards=lambda place: None):
        """`afterwards` is called with the run's folder, which goes when it returns."""
        place = self._place()
        try:
            run = processes.run_gsnake(work, self.program, place, self.tokens(work, plan.steps), plan, keys or {}, self.machine, self.variables)
            afterwards(place)
            return run
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def least_budget(self, work, keys, tier):
        """Bytes that gsnake asks for when `tier` ("host" or "device") is given too few, and a little more."""
        try:
            self.gsnake(work, processes.Plan(warm_up=1, measured=1), {**keys, f"memory.{tier}_budget": "1 MiB"})
        except processes.RunError as error:
            found = re.search(rf"memory\.{tier}_budget to at least ([0-9.]+) ([MG])iB", str(error))
            if found:
                unit = 1 << (20 if found[2] == "M" else 30)
                return int((float(found[1]) + 0.01) * unit)  # it was rounded to two digits
            raise
        return 1 << 20

    def deepspeed(self, work, plan, compute, knobs, check_masters=False):
        place = self._place()
        try:
            return processes.run_deepspeed(work, place, self.tokens(work, plan.steps), plan, compute, knobs, self.machine, check_masters)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def compare_losses(self, work, steps, knobs, keys):
        """Both programs for a few steps, and gsnake without learning. Raises RunError when the two do different work, or when the losses could not
        tell."""
        plan = processes.Plan(warm_up=1, measured=steps - 2)
        ours = self.gsnake(work, plan, keys)
        compute = ours.start["compute_dtype"]
        theirs = self.deepspeed(work, plan, compute, knobs, check_masters=True)
        if theirs.start["parameters"] != ours.start["parameters"]:
            raise processes.RunError(f"different work: gsnake has {ours.start['parameters']} parameters, DeepSpeed {theirs.start['parameters']}")
        check_state(theirs.start)
        if not knobs["weights_in_host"] and not theirs.share_on_nvme > processes.ON_NVME:
            raise processes.RunError(f"DeepSpeed keeps tensors of which a rank has less than 1 MiB in memory: only {theirs.share_on_nvme:.0%} of the parameters are on the drive; "
                                     "take a larger --hidden")
        agreement = check_losses(ours.losses, theirs.losses)
        untaught = self.gsnake(work, plan, {**keys, "optimizer.learning_rate": 0.0}, lambda place: processes.check_gsnake_masters(work, self.program, place, self.machine))
        control = max(abs(a - b) for a, b in zip(untaught.losses, theirs.losses))
        if control < 2 * LOSS_TOLERANCE:
            raise processes.RunError(f"the losses can't tell whether the programs learn: without learning they differ by {control:.2g} only")
        return {"steps": steps, "gsnake": ours.losses, "deepspeed": theirs.losses, "compute_dtype": compute, "difference_without_learning": control,
                "parameters_on_nvme": theirs.start["parameters_on_nvme"], "optimizer_parameters_on_nvme": theirs.start["optimizer_parameters_on_nvme"],
                "optimizer": theirs.start["optimizer"], "swapper": theirs.start["swapper"],
                "versions": theirs.start["versions"], "deepspeed_config": theirs.start["config"],
                "gsnake_io": {key: ours.start["io"][key] for key in ("engine", "direct", "registered")}, "gsnake_memory": ours.start["memory"], **agreement}


def check_state(start):
    """That DeepSpeed's optimizer is its CPU Adam, with all state on the drive."""
    if start["optimizer"] != "DeepSpeedCPUAdam" or start["optimizer_parameters_on_nvme"] < start["parameters"]:
        raise processes.RunError(f"DeepSpeed trains with {start['optimizer']} and {start['optimizer_parameters_on_nvme']} of {start['parameters']} parameters' state "
                                 "on the drive; all of them with DeepSpeedCPUAdam are wanted")


def check_losses(ours, theirs, first=FIRST_LOSS_TOLERANCE, later=LOSS_TOLERANCE):
    """Raises RunError where a loss of the two differs by more than `first` at the first step, or `later` after it."""
    for step, (a, b) in enumerate(zip(ours, theirs), 1):
        tolerance = first if step == 1 else later
        if a is None or b is None or not math.isfinite(a) or not math.isfinite(b):
            raise processes.RunError(f"a loss of step {step} is not finite: gsnake {a}, DeepSpeed {b}")
        if abs(a - b) > tolerance:
            raise processes.RunError(f"the programs compute different things: losses of step {step} differ by {abs(a - b):.2g}, more than {tolerance}: "
                                     f"gsnake {a:.6f}, DeepSpeed {b:.6f}")
    differences = [abs(a - b) for a, b in zip(ours, theirs)]
    return {"first_tolerance": first, "tolerance": later, "first_difference": differences[0], "largest_difference": max(differences)}


def alternate(bench, work, plans, turns, compute, knobs, keys, tell):
    """`turns` turns of both, which take the first place in a turn in alternation; the row of the table after each turn."""
    taken, loss_difference = {"deepspeed": [], "gsnake": []}, 0.0
    start = {"deepspeed": lambda: bench.deepspeed(work, plans["deepspeed"], compute, knobs), "gsnake": lambda: bench.gsnake(work, plans["gsnake"], keys)}
    for number in range(turns):
        runs = {name: start[name]() for name in sorted(start, reverse=number % 2 == 1)}
        loss_difference = max(loss_difference, check_losses(runs["gsnake"].losses, runs["deepspeed"].losses)["largest_difference"])
        for name, run in runs.items():
            taken[name].append(turn_of(run, work, plans[name]))
        tell(f"M = {work.micro_batches}, turn {number + 1} of {turns}: DeepSpeed {taken['deepspeed'][-1]['step_seconds']:.2f} s, "
             f"gsnake {taken['gsnake'][-1]['step_seconds']:.2f} s a step, load {os.getloadavg()[0]:.1f}")
        formula = {"deepspeed": deepspeed_formula(work, knobs), "gsnake": gsnake_formula(work, runs["gsnake"].start)}
        yield {**comparison(taken, work, formula), "largest_loss_difference": loss_difference}


def comparison(taken, work, formula):
    """The table's row of one number of micro-batches."""
    ratios = [theirs["step_seconds"] / ours["step_seconds"] for theirs, ours in zip(taken["deepspeed"], taken["gsnake"])]
    summary = {name: summary_of(turns, work) for name, turns in taken.items()}
    a_rank = {name: {way: amount * work.parameters / work.ranks for way, amount in ways.items()} for name, ways in formula.items()}
    return {"micro_batches": work.micro_batches, "tokens_per_step": work.tokens_per_step, **summary, "formula_bytes_per_parameter": formula,
            **({"formula_bytes_a_rank": a_rank} if work.ranks > 1 else {}),
            "ratio": summary["deepspeed"]["step_seconds"]["median"] / summary["gsnake"]["step_seconds"]["median"], "ratio_by_turn": spread(ratios),
            "ratio_that_bytes_predict": predicted_ratios(formula), "turns": taken}


def table(rows):
    """Text of a comparison."""
    lines = ["  M   DeepSpeed s (low..high)     gsnake s (low..high)    ratio  bytes predict   DeepSpeed R+W B/param   gsnake R+W B/param"]
    for row in rows:
        cell = lambda name: "{median:7.2f} ({low:.2f}..{high:.2f})".format(**row[name]["step_seconds"])
        moved = lambda name: f"{row[name]['read_bytes_per_parameter']:6.2f} + {row[name]['written_bytes_per_parameter']:5.2f}"
        predicted = row["ratio_that_bytes_predict"]
        lines.append(f"{row['micro_batches']:3}  {cell('deepspeed'):>24} {cell('gsnake'):>24}   {row['ratio']:6.2f}   "
                     f"{predicted['if_they_overlap']:.2f}..{predicted['if_they_do_not']:.2f}      {moved('deepspeed'):>18}    {moved('gsnake'):>18}")
    return "\n".join(lines)


def table_of_ranks(rows):
    """What a rank moves in a step, in MB, beside the formulas; over all turns and ranks."""
    lines = ["  M   DeepSpeed, MB a rank read / formula      written      gsnake, MB a rank read / formula      written"]
    for row in rows:
        cells = [moved_by_a_rank(row, name, way) for name in ("deepspeed", "gsnake") for way in ("read", "written")]
        lines.append(f"{row['micro_batches']:3}  " + "  ".join(f"{cell:>32}" for cell in cells))
    return "\n".join(lines)


def moved_by_a_rank(row, name, way):
    """Median over turns and ranks (lowest..highest), MB, beside the formula."""
    found, formula = row[name][f"{way}_bytes_a_rank"], row["formula_bytes_a_rank"][name][way]
    return "{:.1f} ({:.1f}..{:.1f}) / {:.1f}".format(*(amount / 1e6 for amount in (found["median"], found["low"], found["high"], formula)))
