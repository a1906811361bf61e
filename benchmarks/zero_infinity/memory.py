"""Peak memory by layers, and what the two programs do under a limit that is smaller than the training state."""
import dataclasses

import measure
import processes
import settings

LAYERS = (4, 8, 16, 24)
# Moments, master and weights, as gsnake stores them on SSD; DeepSpeed stores 2 more.
STATE_BYTES_PER_PARAMETER = 12
MIB = 1 << 20
PLAN = processes.Plan(measured=2)  # steps from the third on are steady


def programs(bench, work, knobs, compute):
    """How to run each: gsnake as compared elsewhere and with the least budgets, DeepSpeed with its fastest settings and with frugal ones."""
    least = {f"memory.{tier}_budget": bench.least_budget(work, {}, tier) for tier in ("host", "device")}
    return {"gsnake": lambda: bench.gsnake(work, PLAN), "gsnake_frugal": lambda: bench.gsnake(work, PLAN, least),
            "deepspeed": lambda: bench.deepspeed(work, PLAN, compute, knobs),
            "deepspeed_frugal": lambda: bench.deepspeed(work, PLAN, compute, {**knobs, **settings.FRUGAL})}


def by_layers(bench, work, knobs, compute, tell):
    rows = []
    for layers in LAYERS:
        size = dataclasses.replace(work, layers=layers)
        row = {"layers": layers, "parameters": size.parameters, "state_bytes": size.parameters * STATE_BYTES_PER_PARAMETER}
        for name, start in programs(bench, size, knobs, compute).items():
            run = start()
            row[name] = {"base_bytes": run.start["base_bytes"], "warm_up_peak_bytes": run.warm_up_peak_bytes, "steady_peak_bytes": run.steady_peak_bytes,
                         "steady_bytes_beyond_base": run.steady_peak_bytes - run.start["base_bytes"]}
            tell(f"{layers} layers, {name}: {row[name]['steady_bytes_beyond_base'] / MIB:.0f} MiB beyond the base")
        rows.append(row)
    return rows


def under_limit(bench, work, limit, knobs, compute, tell):
    """All in a group whose memory, page cache included, is limited."""
    outcome, group, starts = {}, bench.machine.group, programs(bench, work, knobs, compute)
    group.limit_memory(limit)
    try:
        for name, start in starts.items():
            before = group.killed_for_memory()
            try:
                outcome[name] = {"trains": True, **measure.turn_of(start(), work, PLAN)}
            except processes.RunError as error:
                outcome[name] = {"trains": False, "what": str(error)[:400], "killed_for_memory": group.killed_for_memory() > before}
            tell(f"{name} under {limit / MIB:.0f} MiB: {'trains' if outcome[name]['trains'] else outcome[name]['what']}")
    finally:
        group.limit_memory(0)
    return outcome


def run(bench, work, knobs, tell):
    compute = bench.gsnake(work, PLAN).start["compute_dtype"]
    rows = by_layers(bench, work, knobs, compute, tell)
    for row in rows:
        print(f"{row['layers']:>3} layers, {row['parameters'] / 1e6:6.1f}M parameters, beyond the base: " +
              ", ".join(f"{name} {row[name]['steady_bytes_beyond_base'] / MIB:.0f} MiB" for name in row if name.startswith(("gsnake", "deepspeed"))))
    return {"settings": knobs, "frugal_settings": settings.FRUGAL, "rows": rows}


def run_limited(bench, work, limit, knobs, tell):
    """`limit` in bytes; 0: half of the training state."""
    compute = bench.gsnake(work, PLAN).start["compute_dtype"]
    state = work.parameters * STATE_BYTES_PER_PARAMETER
    limit = limit or state // 2
    return {"settings": knobs, "frugal_settings": settings.FRUGAL, "limit_bytes": limit, "state_bytes": state, "state_over_limit": state / limit,
            "outcome": under_limit(bench, work, limit, knobs, compute, tell)}
