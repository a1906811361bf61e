"""Models as users write them: ordinary modules, nothing of the library's in them."""

import functools

import torch
from torch import nn
from torch.nn import functional

import greedysnake as gs

VOCAB, HIDDEN, HEADS, CONTEXT = 96, 48, 4, 64


class GptEmbedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(VOCAB, HIDDEN)
        self.wpe = nn.Embedding(CONTEXT, HIDDEN)

    def forward(self, ids):
        return self.wte(ids) + self.wpe(torch.arange(ids.shape[1], device=ids.device))


class GptBlock(nn.Module):
    def __init__(self, dropout=0.0):
        super().__init__()
        self.dropout = dropout
        self.ln_1 = nn.LayerNorm(HIDDEN)
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.proj = nn.Linear(HIDDEN, HIDDEN)
        self.ln_2 = nn.LayerNorm(HIDDEN)
        self.mlp = nn.Sequential(nn.Linear(HIDDEN, 4 * HIDDEN), nn.GELU(), nn.Linear(4 * HIDDEN, HIDDEN))

    def forward(self, hidden):
        rows, tokens, _ = hidden.shape
        q, k, v = (part.view(rows, tokens, HEADS, -1).transpose(1, 2) for part in self.qkv(self.ln_1(hidden)).chunk(3, dim=-1))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(rows, tokens, HIDDEN)
        hidden = hidden + functional.dropout(self.proj(mixed), self.dropout, self.training)
        return hidden + functional.dropout(self.mlp(self.ln_2(hidden)), self.dropout, self.training)


class GptHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_f = nn.LayerNorm(HIDDEN)
        self.lm_head = nn.Linear(HIDDEN, VOCAB, bias=False)

    def forward(self, hidden):
        return self.lm_head(self.ln_f(hidden))


class LlamaEmbedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCAB, HIDDEN)

    def forward(self, ids):
        return self.embed_tokens(ids)


class LlamaBlock(nn.Module):
    """With a buffer that depends on the shape alone."""

    def __init__(self):
        super().__init__()
        self.norm_1 = nn.RMSNorm(HIDDEN)
        self.q, self.k, self.v, self.o = (nn.Linear(HIDDEN, HIDDEN, bias=False) for _ in range(4))
        self.norm_2 = nn.RMSNorm(HIDDEN)
        self.gate, self.up = (nn.Linear(HIDDEN, 2 * HIDDEN, bias=False) for _ in range(2))
        self.down = nn.Linear(2 * HIDDEN, HIDDEN, bias=False)
        size = HIDDEN // HEADS
        angles = torch.outer(torch.arange(CONTEXT), 10000.0 ** (-torch.arange(0, size, 2) / size))
        self.register_buffer("cos", torch.cat([angles, angles], 1).cos(), persistent=False)
        self.register_buffer("sin", torch.cat([angles, angles], 1).sin(), persistent=False)

    def turned(self, x):
        left, right = x.chunk(2, dim=-1)
        tokens = x.shape[2]
        return x * self.cos[:tokens].to(x.dtype) + torch.cat([-right, left], -1) * self.sin[:tokens].to(x.dtype)

    def forward(self, hidden):
        rows, tokens, _ = hidden.shape
        x = self.norm_1(hidden)
        q, k, v = (part(x).view(rows, tokens, HEADS, -1).transpose(1, 2) for part in (self.q, self.k, self.v))
        mixed = functional.scaled_dot_product_attention(self.turned(q), self.turned(k), v, is_causal=True).transpose(1, 2).reshape(rows, tokens, HIDDEN)
        hidden = hidden + self.o(mixed)
        x = self.norm_2(hidden)
        return hidden + self.down(functional.silu(self.gate(x)) * self.up(x))


class LlamaHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.RMSNorm(HIDDEN)
        self.lm_head = nn.Linear(HIDDEN, VOCAB, bias=False)

    def forward(self, hidden):
        return self.lm_head(self.norm(hidden))


def gpt(blocks=3, dropout=0.0, tied=False):
    block = functools.partial(GptBlock, dropout)
    return gs.Model([GptEmbedding, *[block] * blocks, GptHead], hidden=HIDDEN, vocab=VOCAB, max_context=CONTEXT, tied=("wte.weight", "lm_head.weight") if tied else None)


def llama(blocks=3):
    return gs.Model([LlamaEmbedding, *[LlamaBlock] * blocks, LlamaHead], hidden=HIDDEN, vocab=VOCAB, max_context=CONTEXT)


def modules_of(name, blocks=3):
    """One module a unit, as somebody has them who trains in memory."""
    kinds = {"gpt": (GptEmbedding, GptBlock, GptHead), "llama": (LlamaEmbedding, LlamaBlock, LlamaHead)}[name]
    return [kinds[0](), *[kinds[1]() for _ in range(blocks)], kinds[2]()]
