"""The table of docs/gpu.md, of what scripts/gpu-check saw."""
import json
import pathlib
import statistics


def rows_of(parts):
    """What was measured, the limit it is held against, and the ratio."""
    for way in parts.get("copy", {}).get("json", {}).get("results", []):
        yield (f"copies, {way['direction']}", f"{way['gigabytes_per_second']['median']:.1f} GB/s", f"one plain pinned copy: {way['plain_gigabytes_per_second']['median']:.1f} GB/s", way["ratio"]["median"])
    for way in parts.get("dequantise", {}).get("json", {}).get("results", []):
        yield (f"dequantise {way['what']}", f"{way['gigabytes_per_second']['median']:.0f} GB/s", f"a copy in its memory: {way['copy_gigabytes_per_second']['median']:.0f} GB/s", way["ratio"]["median"])
    for step in (each["json"] for each in parts.get("step", {}).get("runs", []) if "json" in each):
        took = step["forward_ms"]["median"] + step["recompute_and_backward_ms"]["median"]
        kind = "" if step["deterministic"] else ", not deterministic"
        yield (f"a {step['family']} block, hidden {step['hidden']}, {step['tokens']} tokens, {step['compute_dtype']}{kind}", f"{took:.2f} ms (MFU {step['model_flop_utilisation']:.0%})",
               f"its products and attention alone: {step['limit_ms']['median']:.2f} ms", step["ratio"]["median"])
    for each in parts.get("train", {}).get("runs", []):
        # The last line's lanes have the drain behind the step in them, the first's the run's start.
        slow = [(line["step_ms"], *max((ms, lane) for lane, ms in line["lanes"].items())) for line in each["metrics"][1:-1]]
        if slow and not each["name"].endswith("killed"):
            took, busy, lane = statistics.median_low(slow)
            yield (f"a step, state on {each['name']}", f"{took:.0f} ms", f"the busiest lane, {lane}: {busy:.0f} ms", took / busy)


def show(file):
    report = json.loads(pathlib.Path(file).read_text())
    print(f"{report['gpu'].split(',')[0]}, {report['cores']} cores\n\n| | measured | limit | ratio |\n|---|---|---|---|")
    for what, measured, limit, ratio in rows_of(report["parts"]):
        print(f"| {what} | {measured} | {limit} | {ratio:.3f} |")
    for name, part in report["parts"].items():
        if name == "tests":
            cases = [case for tested in part["runs"] for case in tested["cases"]]
            counts = {result: sum(case["result"] == result for case in cases) for result in ("completed", "failed", "skipped")}
            print(f"\ntests: {counts['completed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
        elif name == "parity":
            print(f"parity with transformers: {part['runs'][0]['out'].count('ok ')} of {part['runs'][0]['out'].count('loss within')}")
