"""DeepSpeed's best settings: one after another is changed, and kept when steps take less time in two pairs of runs, one with it and one without."""
import statistics

import processes
import settings

FINAL_TURNS = 5


class Sweep:

    def __init__(self, bench, work, plan, tell):
        self.bench, self.work, self.plan, self.tell = bench, work, plan, tell
        self.compute = bench.gsnake(work, processes.Plan(warm_up=1, measured=1)).start["compute_dtype"]
        self.best, self.trials = dict(settings.DEFAULTS), []

    def seconds(self, change):
        """The fastest step with the best settings so far and `change`: what else the machine does only adds to it. None where DeepSpeed fails, or
        keeps parameters off the drive."""
        trial = {"change": change}
        self.trials.append(trial)
        try:
            run = self.bench.deepspeed(self.work, self.plan, self.compute, {**self.best, **change})
        except processes.RunError as error:
            trial["failed"] = str(error)[-300:]
            self.tell(f"{change}: {trial['failed']}")
            return None
        times = [after.seconds - before.seconds for before, after in run.counted_pairs(self.plan)]
        trial.update(steps_seconds=times, share_of_parameters_on_nvme=run.share_on_nvme, steady_peak_bytes=run.steady_peak_bytes)
        self.tell(f"{change}: {min(times):.2f} s a step")
        return min(times) if run.share_on_nvme > processes.ON_NVME else None

    def gain(self, change):
        """The changed settings' time over that of the best ones so far, measured one after the other: what else the machine does changes slowly."""
        before, after = self.seconds({}), self.seconds(change)
        return after / before if before and after else 1.0

    def run(self):
        if self.seconds({}) is None:
            why = self.trials[-1].get("failed", "tensors below 1 MiB stay in memory, which at this hidden size are too many")
            raise processes.RunError(f"DeepSpeed's default settings don't do the work: {why}")
        for name, values in settings.TRIALS.items():
            for value in values:
                # What seems better has to be so twice.
                if all(self.gain({name: value}) < settings.BETTER for _ in range(2)):
                    self.best[name] = value
                    self.trials.append({"kept": {name: value}})
                    self.tell(f"kept: {name} = {value}")

    def confirm(self):
        """What was found beside what it was found from, in turns: the one with the smaller median is the best. Twice is sometimes chance."""
        times = {"best": [], "defaults": []}
        for _ in range(FINAL_TURNS):
            for name, knobs in (("best", self.best), ("defaults", settings.DEFAULTS)):
                run = self.bench.deepspeed(self.work, self.plan, self.compute, knobs)
                times[name] += [after.seconds - before.seconds for before, after in run.counted_pairs(self.plan)]
        if statistics.median(times["defaults"]) < statistics.median(times["best"]):
            self.best = dict(settings.DEFAULTS)
        return times


def run(bench, work, plan, tell):
    sweep = Sweep(bench, work, plan, tell)
    sweep.run()
    final = sweep.confirm() if sweep.best != settings.DEFAULTS else {}
    print(f"best settings: {sweep.best}")
    return {"micro_batches": work.micro_batches, "defaults": settings.DEFAULTS, "best": sweep.best, "trials": sweep.trials, **({"final": final} if final else {})}
