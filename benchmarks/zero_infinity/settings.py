"""DeepSpeed's settings: the ones that a sweep starts from, what it tries, and the best that it found (settings.json, which `bench sweep` writes)."""
import json
import pathlib

FILE = pathlib.Path(__file__).resolve().parent / "settings.json"

DEFAULTS = {"aio_threads": 2, "queue_depth": 32, "block_bytes": 1 << 20, "overlap_events": True, "single_submit": False, "pipeline": True, "pin_memory": True,
            "sub_group_elements": 8_000_000, "prefetch_blocks": 4, "parameter_buffers": 16, "passive_wait": False, "live_blocks": 2, "reuse_blocks": 1.5}

# Of each, what is tried beside the value in force; in this order, the best being kept. What keeps more weights in memory is not among them: the
# window of two blocks is gsnake's as well. Blocks of I/O above 1 MiB would keep all smaller tensors in memory, off the drive.
TRIALS = {
    "aio_threads": [1, 4],
    "queue_depth": [8, 128],
    "block_bytes": [256 << 10],
    "overlap_events": [False],
    "single_submit": [True],
    "pipeline": [False],
    "pin_memory": [False],
    "sub_group_elements": [4_000_000, 16_000_000],
    "prefetch_blocks": [0, 1],
    "parameter_buffers": [32],
    "passive_wait": [True],
}

# What takes least memory: one group's buffers instead of three, small groups, no block ahead. Buffers for two blocks' parameters it does need.
FRUGAL = {"pipeline": False, "sub_group_elements": 2_000_000, "prefetch_blocks": 0, "pin_memory": False}

# A change is kept when steps take less than this share of what they take without it: closer ones differ by chance.
BETTER = 0.98


def kind_of(rate):
    """A drive that is held to a rate and one that is not have their own best settings."""
    return "throttled" if rate else "unthrottled"


def best(kind):
    """All settings, as the sweep left them; the defaults where none was made."""
    return {**DEFAULTS, **(json.loads(FILE.read_text()).get(kind, {}) if FILE.exists() else {})}


def save(kind, knobs):
    found = json.loads(FILE.read_text()) if FILE.exists() else {}
    found[kind] = knobs
    FILE.write_text(json.dumps(found, indent=2) + "\n")
