"""Runs of the command for the benchmarks beside this file."""
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

BASE = {
    "model.family": "gpt2", "model.layers": 8, "model.hidden": 384, "model.heads": 6, "model.vocab": 4096, "model.context": 128,
    "data.order": "sequential", "train.sequence_length": 128, "train.micro_batch_size": 1, "train.micro_batches": 4, "train.dtype": "fp32",
    "train.validate_every": 0, "memory.host_budget": "512 MiB", "memory.device_budget": "1 GiB", "train.delay": 0.0,
}


def override(key, value):
    return f"{key}={json.dumps(value)}"


def command(arguments, cache, enter=None):
    environment = dict(os.environ, XDG_CACHE_HOME=str(cache))
    done = subprocess.run(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=enter)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}\n{done.stderr[-3000:]}")
    return done.stdout


def settings_of(cell, folder, steps):
    settings = {**BASE, **cell, "run.dir": str(folder / "run"), "ssd.paths": [str(folder / "ssd")], "data.train": [str(ROOT / "examples/data/kjv_train.txt")],
                "train.steps": steps}
    return [argument for key, value in settings.items() for argument in ("--set", override(key, value))]


def train(gsnake, changes, folder, cache, steps, enter=None):
    """The lines of its metrics."""
    config = folder / "config.toml"
    config.write_text("")
    command([gsnake, "--log-level", "warn", "train", str(config), *settings_of(changes, folder, steps)], cache, enter)
    return [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
