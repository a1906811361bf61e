"""DeepSpeed's settings: the ones that a sweep starts from, what it tries, and the best that it found (settings.json)."""
import json
import pathlib

FILE = pathlib.Path(__file__).resolve().parent / "settings.json"

DEFAULTS = {
    # its asynchronous I/O
    "aio_threads": 2, "queue_depth": 32, "block_bytes": 1 << 20, "overlap_events": True, "single_submit": False, "pin_memory": True,
    # its optimizer
    "pipeline_read": True, "pipeline_write": True, "sub_group_elements": 8_000_000, "reduce_tensors": 1, "overlap_comm": False,
    # the window of weights
    "prefetch_blocks": 4, "parameter_buffers": 16, "live_blocks": 2, "reuse_blocks": 1.5, "weights_in_host": False,
    # threads (0: the workload's) and memory (glibc's M_MMAP_THRESHOLD; 0: its own choice)
    "compute_threads": 0, "passive_wait": False, "mmap_threshold_bytes": 0,
}

# What differs on a GPU, chosen by hand: more cores beside it, its own default for overlap_comm, and groups of about a large layer's weight.
ON_GPU = {"aio_threads": 4, "sub_group_elements": 16_000_000, "overlap_comm": True}

# Of each, what is tried beside the value in force; in this order, the best being kept. What keeps more weights in memory is not among them: the
# window of two blocks is gsnake's as well. Blocks of I/O above 1 MiB would keep all smaller tensors in memory, off the drive.
TRIALS = {
    "aio_threads": [1, 4],
    "queue_depth": [8, 128],
    "block_bytes": [256 << 10],
    "overlap_events": [False],
    "single_submit": [True],
    "pin_memory": [False],
    "pipeline_read": [False],
    "pipeline_write": [False],
    "sub_group_elements": [4_000_000, 16_000_000],
    "reduce_tensors": [4],
    "overlap_comm": [True],
    "prefetch_blocks": [0, 1],
    "parameter_buffers": [32],
    "compute_threads": [1],
    "passive_wait": [True],
    "mmap_threshold_bytes": [1 << 20],
}

# What takes little memory: one group's buffers instead of three, small groups, one block's weights and none ahead, freed memory given back at once.
FRUGAL = {"pipeline_read": False, "pipeline_write": False, "sub_group_elements": 2_000_000, "prefetch_blocks": 0, "parameter_buffers": 9,
          "live_blocks": 1, "reuse_blocks": 0, "pin_memory": False, "mmap_threshold_bytes": 256 << 10}

# A change is kept when steps take less than this share of what they take without it: closer ones differ by chance.
BETTER = 0.98
OF_RANKS = ", ranks: "  # before their number, in a kind's name


def kind_of(rate, device, ranks=1):
    """A drive that is held to a rate and one that is not have their own best settings, and so have a CPU and a GPU, and numbers of ranks."""
    return ("throttled" if rate else "unthrottled") + ("" if device == "cpu" else " cuda") + (f"{OF_RANKS}{ranks}" if ranks > 1 else "")


def best(kind):
    """All settings, as the sweep left them; those of one rank where none was made for several, the defaults where none was made at all."""
    found = json.loads(FILE.read_text()) if FILE.exists() else {}
    of_one = kind.partition(OF_RANKS)[0]
    return {**DEFAULTS, **(ON_GPU if of_one.endswith(" cuda") else {}), **found.get(kind, found.get(of_one, {}))}


def save(kind, knobs):
    found = json.loads(FILE.read_text()) if FILE.exists() else {}
    found[kind] = knobs
    FILE.write_text(json.dumps(found, indent=2) + "\n")
