"""What each of GreedySnake's ideas gives, on the same engine: steps of gsnake from ZeRO-Infinity's order on, one thing more at a time; and
DeepSpeed's own, on the same work."""
import statistics

import measure

# The master as a whole beside the weights, instead of the half that they lack: what train.dtype = "fp16" stores, which moves the bytes that a
# bf16 run without the split would move. Every row computes in fp32, so that they differ in nothing else.
WHOLE_MASTER = {"train.dtype": "fp16", "train.on_nonfinite": "stop", "train.loss_scale": 1024.0}
SPLIT_MASTER = {"train.dtype": "bf16"}
DELAY = 0.5

ROWS = [
    ("horizontal (ZeRO-Infinity's order)", {"train.schedule": "horizontal", "train.delay": 0.0, **WHOLE_MASTER}, False),
    ("vertical", {"train.schedule": "vertical", "train.delay": 0.0, **WHOLE_MASTER}, False),
    ("+ delayed step", {"train.schedule": "vertical", "train.delay": DELAY, **WHOLE_MASTER}, False),
    ("+ split master", {"train.schedule": "vertical", "train.delay": DELAY, **SPLIT_MASTER}, False),
    ("+ no bubble", {"train.schedule": "vertical", "train.delay": DELAY, **SPLIT_MASTER}, True),
    ("the same without delayed step", {"train.schedule": "vertical", "train.delay": 0.0, **SPLIT_MASTER}, True),
]
AMPLE = "1 GiB"  # more than pools of any use take


def keys_of(bench, work, changes, ample):
    keys = {"train.compute_dtype": "fp32", "memory.device_budget": AMPLE, "memory.host_budget": AMPLE, **changes}
    if not ample:
        keys["memory.host_budget"] = bench.least_budget(work, keys, "host")  # the fewest slots, so that no lane runs ahead of another
    return keys


def starts_of(bench, work, plans, knobs):
    """Name, keys and how to start, of each row."""
    rows = [("DeepSpeed", {}, lambda: bench.deepspeed(work, plans["deepspeed"], "fp32", knobs), plans["deepspeed"])]
    for name, changes, ample in ROWS:
        keys = keys_of(bench, work, changes, ample)
        rows.append((name, keys, lambda keys=keys: bench.gsnake(work, plans["gsnake"], keys), plans["gsnake"]))
    return rows


def run(bench, work, plans, turns, knobs, tell):
    rows = starts_of(bench, work, plans, knobs)
    taken = {name: [] for name, *_ in rows}
    for number in range(turns):
        losses = {}
        for name, _, start, plan in rows:
            run_ = start()
            losses[name] = run_.losses
            taken[name].append({**measure.turn_of(run_, work, plan), "host_bytes": run_.start.get("host_bytes")})
            tell(f"turn {number + 1} of {turns}, {name}: {taken[name][-1]['step_seconds']:.2f} s a step")
        measure.check_losses(losses["+ split master"], losses["DeepSpeed"])  # what both compute in fp32 from weights in bf16
    first = statistics.median(turn["step_seconds"] for turn in taken[ROWS[0][0]])
    results = []
    for name, keys, *_ in rows:
        summary = measure.summary_of(taken[name], work)
        results.append({"name": name, "keys": keys, "host_bytes": taken[name][0]["host_bytes"], **summary, "speed_up": first / summary["step_seconds"]["median"],
                        "turns": taken[name]})
        print(f"{name:<36} {summary['step_seconds']['median']:7.2f} s ({summary['step_seconds']['low']:.2f}..{summary['step_seconds']['high']:.2f})  "
              f"{results[-1]['speed_up']:5.2f}x  {summary['read_bytes_per_parameter']:6.2f} read {summary['written_bytes_per_parameter']:6.2f} written")
    return {"micro_batches": work.micro_batches, "settings": knobs, "rows": results}
