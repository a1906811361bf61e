"""Of benchmarks/python_units. Both models have the same shapes and operations; their initial weights differ, which costs nothing."""

import os
import statistics
import tempfile

import torch
from torch import nn
from torch.nn import functional

import greedysnake as gs

LAYERS, HIDDEN, TOKENS, PAIRS = (int(os.environ.get(name, value)) for name, value in (("LAYERS", 4), ("HIDDEN", 768), ("TOKENS", 256), ("PAIRS", 9)))
HEADS, VOCAB, MICRO_BATCHES = HIDDEN // 64, 4096, 4


class Embedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(VOCAB, HIDDEN), nn.Embedding(TOKENS, HIDDEN)

    def forward(self, ids):
        return self.wte(ids) + self.wpe.weight[: ids.shape[1]]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(HIDDEN), nn.LayerNorm(HIDDEN)
        self.c_attn, self.c_proj = nn.Linear(HIDDEN, 3 * HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.c_fc, self.mlp_proj = nn.Linear(HIDDEN, 4 * HIDDEN), nn.Linear(4 * HIDDEN, HIDDEN)

    def forward(self, hidden):
        q, k, v = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in self.c_attn(self.ln_1(hidden)).chunk(3, dim=-1))
        hidden = hidden + self.c_proj(functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return hidden + self.mlp_proj(functional.gelu(self.c_fc(self.ln_2(hidden)), approximate="tanh"))


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_f, self.lm_head = nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, VOCAB, bias=False)

    def forward(self, hidden):
        return self.lm_head(self.ln_f(hidden))


def config(folder):
    return {
        "model": {"family": "gpt2", "layers": LAYERS, "hidden": HIDDEN, "heads": HEADS, "vocab": VOCAB, "context": TOKENS, "tie_embeddings": False},
        "train": {"micro_batches": MICRO_BATCHES, "sequence_length": TOKENS, "dtype": "fp32", "delay": 0.5},
        "run": {"dir": f"{folder}/run", "durability": "off"},
        "ssd": {"paths": [f"{folder}/ssd"]},
    }


def main():
    model = gs.Model([Embedding, *[Block] * LAYERS, Head], hidden=HIDDEN, vocab=VOCAB, max_context=TOKENS)
    ids = torch.randint(0, VOCAB, (MICRO_BATCHES, 1, TOKENS + 1))
    batch = ids[..., :-1].contiguous(), ids[..., 1:].contiguous()
    with tempfile.TemporaryDirectory(dir=".") as one, tempfile.TemporaryDirectory(dir=".") as other:
        with gs.Trainer(config(one)) as built_in, gs.Trainer(config(other), model) as python:
            ratios, times = [], {"C++": [], "Python": []}
            for trainer in (built_in, python):
                trainer.step(*batch)
            for pair in range(PAIRS):
                both = [("C++", built_in), ("Python", python)]
                for name, trainer in both if pair % 2 == 0 else reversed(both):
                    trainer.step(*batch)  # what is left of the other's step is over
                    times[name].append(trainer.step(*batch).step_ms)
                ratios.append(times["Python"][-1] / times["C++"][-1])
    print(f"{LAYERS} x {HIDDEN}, {MICRO_BATCHES} x {TOKENS} tokens, fp32, torch {torch.__version__}, {PAIRS} pairs")
    for name, values in times.items():
        print(f"units in {name}: {statistics.median(values):.1f} ms a step (median)")
    print(f"Python over C++: {statistics.median(ratios):.3f} (median of pairs; {min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
