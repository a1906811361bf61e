"""Models whose units are ``torch.nn.Module`` s of your own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from .errors import UsageError

Initializer = Callable[[torch.nn.Module, int], None]


@dataclass
class _Kind:
    """Units that share one module: its parameters are bound to the weights of the unit whose turn it is."""

    name: str
    module: torch.nn.Module
    initialize: Callable[[int], None]
    flops_per_token: float = 0.0


@dataclass
class Names:
    """What parameters are called in a folder of Hugging Face's layout.

    Attributes:
        tensors: by factory, ``{parameter: name}``; ``{}`` in a name stands for the block's number, from 0.
        prefix: that names begin with, and that a folder with the model without its head leaves out.
        ignored_endings: of names of tensors that hold no parameter.
    """

    tensors: dict[Callable[[], torch.nn.Module], dict[str, str]] = field(default_factory=dict)
    prefix: str = ""
    ignored_endings: list[str] = field(default_factory=list)


class Model:
    """A sequence of units: an embedding, blocks, a head. What is streamed at once is a unit.

    Each unit is given as a factory, a callable that makes its module. Units of the same factory share one module: only the weights of the unit whose turn it is
    are in it. A module is ordinary PyTorch, with autograd as usual, and keeps no state besides its parameters (buffers that depend on
    the shape alone are fine):

    - the embedding takes ids, int64 ``(rows, tokens)``, to hidden states ``(rows, tokens, hidden)``;
    - a block takes hidden states to hidden states;
    - the head takes hidden states ``(n, hidden)`` of some rows of tokens to logits ``(n, vocab)``. It may have a method
      ``loss_sum(hidden, labels)``, the sum of the rows' losses as a float32 scalar, rows labelled -100 counting as 0: cross-entropy without.

    ``forward`` runs twice for each micro-batch, the second time within backward, and must give the same bits: random numbers come from torch's default
    generator, which is seeded before each call. A parameter that requires no gradient is frozen: it is read, and never written.

    Args:
        units: factories in order: ``[Embedding, *[Block] * 12, Head]`` with no arguments, or ``functools.partial`` s, or lambdas: the same object for
            units that share a module.
        hidden: size of the hidden states' last dimension.
        vocab: number of token ids.
        max_context: tokens that a row may have at most.
        tied: ``(embedding's parameter, head's parameter)``: names of one tensor that both use.
        initialize: gives a unit its first values: called with the module, bound to that unit's memory, and the unit's number, under ``no_grad``, with torch's
            generator seeded by (``train.seed``, unit). By default the factory is called once more, and what it made is copied.
        names: for ``model.from``, import and export.

    Raises:
        UsageError: a unit is not as above.
    """

    def __init__(
        self,
        units: Sequence[Callable[[], torch.nn.Module]],
        *,
        hidden: int,
        vocab: int,
        max_context: int,
        tied: tuple[str, str] | None = None,
        initialize: Initializer | None = None,
        names: Names | None = None,
    ) -> None:
        if len(units) < 2:
            raise UsageError("a model has an embedding and a head at least")
        factories = list(dict.fromkeys(units))
        if len(units) > 2 and (units[0] in units[1:] or units[-1] in units[:-1]):
            raise UsageError("the embedding and the head have factories of their own")
        self.hidden = hidden
        self.vocab = vocab
        self.max_context = max_context
        self.tied = tied
        self.unit_kinds = [factories.index(unit) for unit in units]
        self._factories = factories
        self._initialize = initialize
        self.make_kinds()  # refuses what it can't use
        names = names or Names()
        self.tensor_names = [(factories.index(factory), item) for factory, tensors in names.tensors.items() for item in tensors.items()]
        self._forget: Callable[[], None] | None = None
        self.base_prefix = names.prefix
        self.ignored_endings = names.ignored_endings

    def forget(self) -> None:
        """Called when a trainer ends: what units have kept that depends on shapes alone goes."""
        if self._forget is not None:
            self._forget()

    def make_kinds(self) -> list[_Kind]:
        """With modules of their own: each trainer binds its own ones to its memory."""
        return [self._kind(number, factory) for number, factory in enumerate(self._factories)]

    def _kind(self, number: int, factory: Callable[[], torch.nn.Module]) -> _Kind:
        count, initialize = len(self._factories), self._initialize
        module = _template(factory)
        skipped = self.tied[1] if self.tied is not None and number == count - 1 else None
        parameters = dict(module.named_parameters())
        if self.tied is not None and number in (0, count - 1):
            name = self.tied[0] if number == 0 else self.tied[1]
            if name not in parameters:
                raise UsageError(f"tied = {self.tied!r}: the {'embedding' if number == 0 else 'head'} has no parameter {name}; it has {', '.join(parameters)}")

        def from_factory(unit: int) -> None:
            del unit
            made = dict(factory().named_parameters())
            for name, parameter in parameters.items():
                if name != skipped:
                    parameter.copy_(made[name])

        def from_caller(unit: int) -> None:
            assert initialize is not None
            bound = {name: (id(parameter), parameter.data_ptr()) for name, parameter in module.named_parameters()}
            initialize(module, unit)
            for name, parameter in module.named_parameters():
                if bound.get(name) != (id(parameter), parameter.data_ptr()):
                    raise UsageError(f"initialize gave unit {unit} another tensor for {name}; copy values into the one that is there: parameter.copy_(values)")

        names = {0: "embedding", count - 1: "head"}
        name = names.get(number, type(module).__name__)
        return _Kind(name, module, from_factory if initialize is None else from_caller)


_SMALL = 64 << 20  # bytes of parameters that a template may hold for a moment


def _template(factory: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """A module whose parameters take no memory, and whose buffers are real. The caller's random numbers stay what they were."""
    with torch.random.fork_rng(devices=[]):
        module = _without_memory(factory) or factory()
    if not isinstance(module, torch.nn.Module):
        raise UsageError(f"a unit's factory gave a {type(module).__name__}; it must be a torch.nn.Module")
    for parameter in module.parameters():
        if not parameter.is_meta:
            # Of the same sizes, over one element.
            parameter.data = torch.zeros(1, dtype=parameter.dtype).expand(parameter.shape)
    return module


def _without_memory(factory: Callable[[], torch.nn.Module]) -> torch.nn.Module | None:
    """On the meta device, where that is worth it and takes nothing from the module: of its tensors, only parameters have no memory."""
    try:
        with torch.device("meta"):
            module = factory()
    except (RuntimeError, NotImplementedError):  # it computes with what it makes
        return None
    if not isinstance(module, torch.nn.Module):
        return module
    bytes_of_parameters = sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())
    others = [*module.buffers(), *(value for part in module.modules() for value in vars(part).values() if isinstance(value, torch.Tensor))]
    return None if bytes_of_parameters <= _SMALL or any(tensor.is_meta for tensor in others) else module
