"""Parts of docs/simulated.md, of what `gsnake simulate --json` says."""


def table(header, rows):
    return "\n".join(["| " + " | ".join(header) + " |", "|" + "---|" * len(header)] + ["| " + " | ".join(row) + " |" for row in rows])


def rate_text(value):
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def seconds_and_rate(system):
    return f"{system['step_ms'] / 1e3:.0f} s, {rate_text(system['tokens_per_second'])}"


def longest(system):
    """What a step's work keeps busy longest by itself. Reads and writes share the drives (`both = 1`)."""
    limits = {lane: time["limit_ms"] for lane, time in system["lanes"].items()}
    of = {"GPU": limits["compute"], "drives": limits["ssd_read"] + limits["ssd_write"], "copies to the GPU": limits["h2d"], "copies from it": limits["d2h"],
          "CPU": limits["optimizer"], "link": limits.get("collective", 0)}
    name = max(of, key=of.get)
    return f"{name} {of[name] / system['step_ms']:.0%}"


def speedup(systems, of="vertical", over="horizontal"):
    return systems[of]["tokens_per_second"] / systems[over]["tokens_per_second"]


def of_all(futures):
    return {key: future.result() for key, future in futures.items()}
