"""Peak memory by layers, and what the two programs do under a limit that is smaller than the training state."""
import dataclasses

import measure
import processes

LAYERS = (4, 8, 16, 24)
# Moments, master and weights, as gsnake stores them on SSD; DeepSpeed stores 2 more.
STATE_BYTES_PER_PARAMETER = 12
PLAN = processes.Plan(measured=2)


def by_layers(bench, work, knobs, compute, tell):
    rows = []
    for layers in LAYERS:
        size = dataclasses.replace(work, layers=layers)
        row = {"layers": layers, "parameters": size.parameters}
        for name, run in (("gsnake", bench.gsnake(size, PLAN)), ("deepspeed", bench.deepspeed(size, PLAN, compute, knobs))):
            row[name] = {"base_bytes": run.start["base_bytes"], "warm_up_peak_bytes": run.warm_up_peak_bytes, "steady_peak_bytes": run.steady_peak_bytes,
                         "steady_bytes_beyond_base": run.steady_peak_bytes - run.start["base_bytes"]}
        row["ratio"] = row["gsnake"]["steady_bytes_beyond_base"] / row["deepspeed"]["steady_bytes_beyond_base"]
        rows.append(row)
        tell(f"{layers} layers: {row['gsnake']['steady_bytes_beyond_base'] / 2**20:.0f} MiB beyond the base, DeepSpeed "
             f"{row['deepspeed']['steady_bytes_beyond_base'] / 2**20:.0f} MiB")
    return rows


def killed_for_memory(bench):
    """Processes of the group that the kernel has ended because its memory was used up."""
    counts = dict(line.split() for line in bench.group.read("memory", "memory.oom_control").splitlines())
    return int(counts.get("oom_kill", 0))


def under_limit(bench, work, limit, knobs, compute, tell):
    """Both programs in a group whose memory, page cache included, is limited."""
    outcome = {}
    runs = {"gsnake": lambda: bench.gsnake(work, PLAN), "deepspeed": lambda: bench.deepspeed(work, PLAN, compute, knobs)}
    bench.group.limit_memory(limit)
    try:
        for name, start in runs.items():
            before = killed_for_memory(bench)
            try:
                run = start()
                outcome[name] = {"trains": True, **measure.turn_of(run, work, PLAN)}
            except processes.RunError as error:
                outcome[name] = {"trains": False, "what": str(error)[:400], "killed_for_memory": killed_for_memory(bench) > before}
            said = "trains" if outcome[name]["trains"] else outcome[name]["what"]
            tell(f"{name} under {limit / 2**20:.0f} MiB: {said}")
    finally:
        bench.group.limit_memory(-1)
    return outcome


def run(bench, work, limit, knobs, tell):
    compute = bench.gsnake(work, PLAN).start["compute_dtype"]
    rows = by_layers(bench, work, knobs, compute, tell)
    largest = dataclasses.replace(work, layers=LAYERS[-1])
    state = largest.parameters * STATE_BYTES_PER_PARAMETER
    limit = limit or state // 2
    outcome = under_limit(bench, largest, limit, knobs, compute, tell)
    for row in rows:
        print(f"{row['layers']:>3} layers, {row['parameters'] / 1e6:6.1f}M parameters: beyond the base {row['gsnake']['steady_bytes_beyond_base'] / 2**20:6.0f} MiB; DeepSpeed "
              f"{row['deepspeed']['steady_bytes_beyond_base'] / 2**20:6.0f} MiB; ratio {row['ratio']:.2f}")
    return {"rows": rows, "limit": {"limit_bytes": limit, "state_bytes": state, "state_over_limit": state / limit, "layers": largest.layers,
                                    "parameters": largest.parameters, **outcome}}
