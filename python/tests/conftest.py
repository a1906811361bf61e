import os
import pathlib
import sys

import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent))
THREADS = 2


@pytest.fixture(autouse=True)
def _threads():
    torch.set_num_threads(THREADS)


@pytest.fixture
def settings(tmp_path):
    """A config as a dict; keywords "section__key=value" change it."""

    def make(**changes):
        config = {
            "train": {"micro_batches": 4, "micro_batch_size": 2, "sequence_length": 32, "dtype": "fp32", "order": "ascending", "compute_threads": THREADS, "steps": 6},
            "optimizer": {"learning_rate": 1e-3},
            "memory": {"device_budget": "64 MiB", "host_budget": "64 MiB"},
            "run": {"dir": os.fspath(tmp_path / "run")},
            "ssd": {"paths": [os.fspath(tmp_path / "ssd")]},
        }
        for name, value in changes.items():
            section, key = name.split("__")
            config.setdefault(section, {})[key] = value
        return config

    return make


@pytest.fixture
def batches():
    """Steps of random tokens, always the same ones: [(inputs, labels), ...], each (4, 2, 32)."""

    def make(count, seed=1, vocab=96):
        generator = torch.Generator().manual_seed(seed)
        made = []
        for _ in range(count):
            ids = torch.randint(0, vocab, (4, 2, 33), generator=generator)
            labels = ids[..., 1:].contiguous()
            labels[0, 0, :3] = -100
            made.append((ids[..., :-1].contiguous(), labels))
        return made

    return make
