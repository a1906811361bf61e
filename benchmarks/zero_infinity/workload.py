"""The work that both programs get: a model's shape, tokens, micro-batches; written down for each in its own form."""
import dataclasses
import json
import pathlib
import random
import struct


@dataclasses.dataclass(frozen=True)
class Workload:
    layers: int = 8
    hidden: int = 768
    heads: int = 12
    intermediate: int = 2048
    vocab: int = 1024
    used_vocab: int = 0  # tokens are below this; 0: below vocab
    sequence_length: int = 32
    rows: int = 1
    micro_batches: int = 8
    seed: int = 1
    threads: int = 2
    compute: str = "auto"  # auto, fp32; resolved by gsnake
    device: str = "cpu"
    ranks: int = 1  # which share threads and micro-batches
    learning_rate: float = 3e-4

    @property
    def tokens_per_step(self):
        return self.micro_batches * self.rows * self.sequence_length

    @property
    def threads_a_rank(self):
        return self.threads // self.ranks

    @property
    def micro_batches_a_rank(self):
        return self.micro_batches // self.ranks

    @property
    def block_parameters(self):
        return 4 * self.hidden**2 + 3 * self.hidden * self.intermediate + 2 * self.hidden

    @property
    def parameters(self):
        return self.layers * self.block_parameters + 2 * self.vocab * self.hidden + self.hidden

    def as_json(self):
        return {**dataclasses.asdict(self), "parameters": self.parameters, "tokens_per_step": self.tokens_per_step}


def write_tokens(path, workload, steps):
    """As many tokens as `steps` steps take: a stream in which each token hangs on the one before, so that there is something to learn."""
    count = steps * workload.tokens_per_step + 1
    draw = random.Random(workload.seed)
    token, tokens = 0, []
    for _ in range(count):
        token = (token * 5 + 1 + draw.randrange(8)) % (workload.used_vocab or workload.vocab)
        tokens.append(token)
    path.write_bytes(struct.pack(f"<{count}H", *tokens))


def deepspeed_workload(workload, tokens, folder, steps, compute, knobs):
    """What runner.py reads."""
    return {
        "model": {"layers": workload.layers, "hidden": workload.hidden, "heads": workload.heads, "intermediate": workload.intermediate,
                  "vocab": workload.vocab, "norm_epsilon": 1e-5, "rope_theta": 10000.0},
        "tokens": str(tokens), "folder": str(folder), "steps": steps, "compute": compute, "device": workload.device,
        "sequence_length": workload.sequence_length, "rows": workload.rows, "micro_batches": workload.micro_batches, "ranks": workload.ranks, "seed": workload.seed,
        "optimizer": {"learning_rate": workload.learning_rate, "betas": [0.9, 0.95], "epsilon": 1e-8, "weight_decay": 0.1},
        "knobs": knobs,
    }


def gsnake_config(workload, tokens, folder, steps, keys):
    """What gsnake train reads: keys of its config, further ones or others in their place in `keys`."""
    config = {
        "model.family": "llama", "model.layers": workload.layers, "model.hidden": workload.hidden, "model.heads": workload.heads,
        "model.kv_heads": workload.heads, "model.intermediate": workload.intermediate, "model.vocab": workload.vocab,
        "model.context": workload.sequence_length, "model.tie_embeddings": False, "model.norm_epsilon": 1e-5, "model.rope_theta": 10000.0,
        "data.train": [str(tokens)], "data.order": "sequential",
        "train.steps": steps, "train.micro_batches": workload.micro_batches, "train.micro_batch_size": workload.rows,
        "train.sequence_length": workload.sequence_length, "train.dtype": "bf16", "train.compute_dtype": workload.compute,
        "train.compute_threads": workload.threads_a_rank, "train.seed": workload.seed, "train.schedule": "vertical", "train.delay": 0.0,
        "optimizer.name": "adamw", "optimizer.learning_rate": workload.learning_rate, "optimizer.betas": [0.9, 0.95],
        "optimizer.epsilon": 1e-8, "optimizer.weight_decay": 0.1, "optimizer.decay_1d": True,
        "memory.device": workload.device, "memory.host_budget": "256 MiB", "memory.device_budget": "256 MiB",
        "ssd.paths": [str(folder / "ssd")], "run.dir": str(folder / "run"),
    }
    config.update(keys)
    return config


def to_toml(config):
    """TOML of dotted keys, whose values are written as JSON writes them; keys without a value are left out."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items() if value is not None)
