"""A training loop in memory, in plain torch, and AdamW as docs/optimizer.md has it: written once more, sharing nothing with the library."""

import math

import torch
from torch.nn import functional


def fma(a, b, c):
    """One rounding to float32: the product of two float32 is exact in float64."""
    a, b, c = (torch.as_tensor(value, dtype=torch.float64) if isinstance(value, float) else value.double() for value in (a, b, c))
    return (a * b + c).float()


class AdamW:
    def __init__(self, parameters, learning_rate=1e-3, beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1):
        self.parameters = list(parameters)
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.parameters]
        self.numbers = learning_rate, beta1, beta2, epsilon, weight_decay
        self.steps = 0

    def step(self):
        rate, beta1, beta2, epsilon, weight_decay = self.numbers
        self.steps += 1

        def rounded(value):
            return float(torch.tensor(value, dtype=torch.float64).float())

        step_size = rounded(rate / (1 - beta1**self.steps))
        correction = rounded(1 / math.sqrt(1 - beta2**self.steps))
        rest1, rest2 = rounded(1 - beta1), rounded(1 - beta2)
        with torch.no_grad():
            for parameter, (m, v) in zip(self.parameters, self.moments):
                g = parameter.grad
                decay = rounded(1 - rate * weight_decay) if parameter.dim() > 1 else 1.0
                m.copy_(fma(rest1, g - m, m))
                v.copy_(fma(g * torch.tensor(rest2), g, v * torch.tensor(rounded(beta2))))
                root = v.double().sqrt().float()  # rounded correctly, which torch's own is not
                ratio = m / fma(root, correction, rounded(epsilon))
                parameter.copy_(fma(-step_size, ratio, parameter * torch.tensor(decay)))
                parameter.grad = None


def train(units, optimizer, batches):
    """Losses: of each batch (micro_batches, rows, tokens), gradients of the mean over its counted tokens, micro-batches in ascending order."""
    losses = []
    for inputs, labels in batches:
        factor = torch.tensor(1.0 / (labels != -100).sum().item(), dtype=torch.float32)
        total = 0.0
        for ids, wanted in zip(inputs, labels):
            hidden = ids
            for unit in units[:-1]:
                hidden = unit(hidden)
            logits = units[-1](hidden.reshape(-1, hidden.shape[-1]))
            loss = functional.cross_entropy(logits, wanted.reshape(-1), reduction="sum") * factor
            loss.backward()
            total += loss.item()
        losses.append(total)
        optimizer.step()
    return losses
