"""The JSON of what was measured: what, by which command, on which machine, with which versions."""
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import time

import cgroups

ROOT = pathlib.Path(__file__).resolve().parents[2]


def machine(folder):
    lines = [line.split(":", 1) for line in open("/proc/cpuinfo") if ":" in line]
    processor = next((value.strip() for key, value in lines if key.strip() == "model name"), "unknown")
    flags = next((value.split() for key, value in lines if key.strip() == "flags"), [])
    mounts = sorted((line.split()[1:3] for line in open("/proc/mounts")), key=lambda mount: len(mount[0]))
    place = os.path.realpath(folder)
    file_system = [kind for mount, kind in mounts if place == mount or place.startswith(mount.rstrip("/") + "/")][-1]
    return {"processor": processor, "cpus": os.cpu_count(), "bf16_units": "avx512_bf16" in flags or "amx_bf16" in flags, "kernel": platform.release(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "drive": cgroups.drive_of(folder), "file_system": file_system}


def gsnake_versions(program):
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.split()
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    libtorch = re.search(r"^torch==(\S+)", (ROOT / "scripts/libtorch.txt").read_text(), re.MULTILINE)
    return {"version": said[-1] if said else "unknown", "commit": commit, "libtorch": libtorch[1] if libtorch else "unknown"}


def command_line():
    """As it was typed, without what names places on this machine."""
    words, places = [], {"--gsnake", "--environment", "--folder"}
    for word, before in zip(sys.argv[1:], sys.argv):
        if word.split("=")[0] not in places and before not in places:
            words.append(word)
    return " ".join(["gsnake bench zero-infinity", *words])


class Report:
    """Written anew whenever there is more of it."""

    def __init__(self, arguments, work):
        self.arguments, self.began, self.load, self.text = arguments, time.time(), os.getloadavg(), ""
        self.head = {"command": command_line(), "what": arguments.what, "machine": machine(arguments.folder),
                     "versions": {"gsnake": gsnake_versions(arguments.gsnake), "environment": (pathlib.Path(arguments.environment) / "ready.txt").read_text().split()},
                     "rate_bytes_per_second": arguments.rate, "workload": work.as_json()}

    def save(self, result):
        assert not self.head.keys() & result.keys(), "two things by one name"
        report = {**self.head, "load_average": {"before": self.load, "after": os.getloadavg()}, "seconds": time.time() - self.began, **result}
        # Where a machine has its files is nobody else's: the repository's are told from its root on.
        self.text = json.dumps(report, indent=1).replace(f"{ROOT}/", "") + "\n"
        if self.arguments.save:
            pathlib.Path(self.arguments.save).write_text(self.text)
