"""Machine profiles for docs/simulated.md: those of docs/profiles, changed."""
import copy
import json
import re


def bytes_per_second(text):
    return float(re.fullmatch(r"([0-9.]+) GB/s", text).group(1)) * 1e9


def toml_value(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(each) for each in value) + "]"
    return json.dumps(value)


def toml_of(profile):
    """TOML of a table of values, tables, and one array of tables: what profiles are."""
    lines = [f"{key} = {toml_value(value)}" for key, value in profile.items() if not isinstance(value, dict) and key != "ssds"]
    for key, table in profile.items():
        if isinstance(table, dict):
            lines += [f"[{key}]"] + [f"{name} = {toml_value(value)}" for name, value in table.items()]
    for drive in profile["ssds"]:
        lines += ["[[ssds]]"] + [f"{name} = {toml_value(value)}" for name, value in drive.items()]
    return "\n".join(lines) + "\n"


def with_drives(count):
    def change(profile):
        profile["ssds"] = [copy.deepcopy(profile["ssds"][0]) for _ in range(count)]
    return change


def with_both(both):
    def change(profile):
        for drive in profile["ssds"]:
            drive["both"] = both
    return change


def with_flops(factor):
    def change(profile):
        for each in profile["compute"]["rates"]:
            each["per_second"] *= factor
    return change


def with_link_by_bus(rate):
    """GPUs that reach one another by the bus of their copies."""
    def change(profile):
        profile["link"].update(per_second=rate, bus=1)
    return change


def with_copies(factor):
    def change(profile):
        for direction in ("h2d", "d2h"):
            profile[direction]["per_second"] = factor * bytes_per_second(profile[direction]["per_second"])
    return change
