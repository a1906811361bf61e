"""The Llama of src/model/llama.cpp in plain torch, operation by operation, from the same initial weights, for DeepSpeed to train."""
import contextlib
import math

import numpy
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

INITIAL_STD = 0.02
MASK = (1 << 64) - 1


def _split_mix(value):
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def unit_seed(seed, unit):
    """The seed of a unit's initial values (docs/models.md, src/model/seeding.cpp)."""
    state = _split_mix(seed)
    for word in (0, unit, 0):
        state = _split_mix(state ^ word)
    return state


def float_tensor(shape):
    """fp32 whatever constructors give at the moment: inside zero.Init they give bf16."""
    return torch.from_numpy(numpy.empty(shape, dtype=numpy.float32))


def initial_values(shapes, seed):
    """The master weights that gsnake starts from: one list of fp32 tensors a unit, made when it is asked for."""
    for unit, parameters in enumerate(shapes):
        torch.default_generator.manual_seed(unit_seed(seed, unit))
        yield [float_tensor(s).normal_(0.0, INITIAL_STD) if len(s) > 1 else float_tensor(s).fill_(1.0) for s in parameters]


def compute_weight(master):
    """A master rounded to bf16, ties away from zero, as gsnake's split master rounds (docs/optimizer.md)."""
    bits = master.contiguous().view(torch.int32)
    return ((bits + 0x8000) & -0x10000).view(torch.float32).bfloat16()


class WidenedLinear(torch.autograd.Function):
    """x @ w.T with w stored in bf16 and everything computed in fp32. Keeps the parameter itself, whose values ZeRO-3 takes away and fetches again."""
    scratch = None

    @classmethod
    def widen(cls, weight):
        if cls.scratch is None or cls.scratch.numel() < weight.numel():
            cls.scratch = torch.empty(weight.numel(), dtype=torch.float32, device=weight.device)
        return cls.scratch[:weight.numel()].view(weight.shape).copy_(weight)

    @staticmethod
    def forward(context, x, weight):
        context.save_for_backward(x, weight)
        return F.linear(x, WidenedLinear.widen(weight))

    @staticmethod
    def backward(context, gradient):
        x, weight = context.saved_tensors
        rows, inputs = gradient.reshape(-1, gradient.shape[-1]), x.reshape(-1, x.shape[-1])
        weight_gradient = torch.mm(rows.t(), inputs).to(weight.dtype)
        return torch.mm(rows, WidenedLinear.widen(weight)).view(x.shape), weight_gradient


class Linear(nn.Module):

    def __init__(self, values, wide):
        super().__init__()
        self.weight = nn.Parameter(compute_weight(values))
        self.wide = wide

    def forward(self, x):
        return WidenedLinear.apply(x, self.weight) if self.wide else F.linear(x, self.weight)


class RmsNorm(nn.Module):

    def __init__(self, values, epsilon):
        super().__init__()
        self.weight = nn.Parameter(compute_weight(values))
        self.epsilon = epsilon

    def forward(self, x):
        wide = x.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.epsilon)
        return self.weight.to(x.dtype) * (wide * scale).to(x.dtype)


class Rotary:
    """Tables of cosines and sines: frequency and angle in float, the functions of the angle in double."""

    def __init__(self, tokens, head_dim, theta, device, dtype):
        exponent = (numpy.arange(0, head_dim, 2, dtype=numpy.float32) / numpy.float32(head_dim)).astype(numpy.float64)
        frequency = (numpy.float32(1) / numpy.power(theta, exponent).astype(numpy.float32)).astype(numpy.float32)
        angle = (numpy.arange(tokens, dtype=numpy.float32)[:, None] * frequency[None]).astype(numpy.float64)
        self.cos, self.sin = (torch.from_numpy(f(angle).astype(numpy.float32)).to(device, dtype) for f in (numpy.cos, numpy.sin))

    def __call__(self, x):
        first, second = x.chunk(2, -1)
        return torch.cat((first * self.cos - second * self.sin, second * self.cos + first * self.sin), -1)


class Block(nn.Module):

    def __init__(self, values, shape, rotary, wide):
        super().__init__()
        values = iter(values)
        self.input_norm = RmsNorm(next(values), shape["norm_epsilon"])
        self.q, self.k, self.v, self.o = (Linear(next(values), wide) for _ in range(4))
        self.mlp_norm = RmsNorm(next(values), shape["norm_epsilon"])
        self.gate, self.up, self.down = (Linear(next(values), wide) for _ in range(3))
        self.head_dim, self.rotary, self.wide = shape["hidden"] // shape["heads"], rotary, wide

    def attention(self, x):
        q, k, v = (linear(x).view(*x.shape[:2], -1, self.head_dim).transpose(1, 2) for linear in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(self.rotary(q), self.rotary(k), v, is_causal=True)
        return self.o(y.transpose(1, 2).reshape(x.shape))

    def forward(self, hidden):
        # Between blocks hidden states are bf16 whatever the compute dtype, as at gsnake's unit boundaries.
        x = hidden.float() if self.wide else hidden
        x = x + self.attention(self.input_norm(x))
        y = self.mlp_norm(x)
        return (x + self.down(F.silu(self.gate(y)) * self.up(y))).to(hidden.dtype)


class Embedding(nn.Module):

    def __init__(self, values):
        super().__init__()
        self.weight = nn.Parameter(compute_weight(values[0]))

    def forward(self, ids):
        return F.embedding(ids, self.weight)


class Head(nn.Module):

    def __init__(self, values, shape, wide):
        super().__init__()
        self.norm = RmsNorm(values[0], shape["norm_epsilon"])
        self.linear = Linear(values[1], wide)
        self.wide = wide

    def forward(self, hidden, labels):
        logits = self.linear(self.norm(hidden.float() if self.wide else hidden))
        return F.cross_entropy(logits.float().flatten(0, 1), labels.flatten())


def parameter_shapes(shape):
    """Of each unit: embedding, blocks, head; in the order of gsnake's named parameters."""
    hidden, inner, vocab = shape["hidden"], shape["intermediate"], shape["vocab"]
    square = (hidden, hidden)
    block = [(hidden,), square, square, square, square, (hidden,), (inner, hidden), (inner, hidden), (hidden, inner)]
    return [[(vocab, hidden)]] + [block] * shape["layers"] + [[(hidden,), (vocab, hidden)]]


def parameter_count(shape):
    return sum(math.prod(s) for unit in parameter_shapes(shape) for s in unit)


def checkpoints_in_host_memory(device):
    """What is saved for backward goes to the host and comes back from there, where that is not where it is anyway."""
    return contextlib.nullcontext() if device.type == "cpu" else torch.autograd.graph.save_on_cpu(pin_memory=True)


class Llama(nn.Module):

    def __init__(self, shape, tokens, seed, device, wide):
        super().__init__()
        rotary = Rotary(tokens, shape["hidden"] // shape["heads"], shape["rope_theta"], device, torch.float32 if wide else torch.bfloat16)
        values = initial_values(parameter_shapes(shape), seed)
        self.embedding = Embedding(next(values))
        self.blocks = nn.ModuleList(Block(next(values), shape, rotary, wide) for _ in range(shape["layers"]))
        self.head = Head(next(values), shape, wide)

    def forward(self, ids, labels):
        x = self.embedding(ids)
        for block in self.blocks:
            with checkpoints_in_host_memory(x.device):
                x = checkpoint(block, x, use_reentrant=True, preserve_rng_state=False)
        return self.head(x, labels)
