"""Batches of the caller's own for :func:`greedysnake.train`, whose place is kept in every commit."""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch

from .errors import UsageError

IGNORED_LABEL = -100


@runtime_checkable
class BatchSource(Protocol):
    """What ``train(batches=...)`` takes: any object with these methods. A DataLoader or a Dataset is wrapped (:class:`LoaderBatches`)."""

    def next(self) -> tuple[Any, ...]:
        """(inputs, labels) or (inputs, labels, starts) of one step, as :meth:`greedysnake.Trainer.step` takes them."""

    def state(self) -> Any:
        """Where the next :meth:`next` goes on, as anything that JSON has. Kept in the commit of the step whose batch came last."""

    def restore(self, state: Any) -> None:
        """Back to what :meth:`state` gave."""


class LoaderBatches:
    """Steps from a DataLoader, or any iterable that can be started over, again and again.

    An item is ``(inputs, labels)``, int64 ``(rows, tokens)``, labels shifted already; or, as transformers' collators give them, a dict with ``input_ids`` and
    maybe ``labels`` of the same places, one token longer than a row, which is shifted here. The rows of items are joined and cut to those of a step.

    The place is (pass, items, rows). It is found again by a loader's own ``state_dict()`` and ``load_state_dict()`` where it has them, else by
    passing over as many items. A DataLoader that shuffles needs a ``generator`` of its own, which is seeded by (``seed``, pass).
    """

    def __init__(self, loader: Any, shape: tuple[int, int, int], seed: int) -> None:
        self._loader = loader
        self._rows = shape[0] * shape[1]
        self._tokens = shape[2]
        self._seed = seed
        self._pass = 0
        self._items = 0  # of this pass, that are used up
        self._row = 0  # of the item in hand, that are used up
        self._place: Any = None  # the loader's own, before the item in hand
        self._iterator: Iterator[Any] | None = None
        self._inputs = torch.empty((0, self._tokens), dtype=torch.int64)  # of the item in hand, that are not used up
        self._labels = self._inputs
        self._generator = _generator_of(loader)
        self._has_state = hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")

    def next(self) -> tuple[torch.Tensor, torch.Tensor]:
        inputs: list[torch.Tensor] = []
        labels: list[torch.Tensor] = []
        missing = self._rows
        while missing > 0:
            if len(self._inputs) == 0:
                self._take()
            count = min(missing, len(self._inputs))
            inputs.append(self._inputs[:count])
            labels.append(self._labels[:count])
            self._inputs, self._labels = self._inputs[count:], self._labels[count:]
            self._row += count
            missing -= count
        return torch.cat(inputs), torch.cat(labels)

    def state(self) -> dict[str, Any]:
        return {"pass": self._pass, "items": self._items, "row": self._row, "loader": self._place}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._pass, row = state["pass"], state["row"]
        self._start(state["loader"])
        if not self._has_state:
            for item in range(state["items"]):
                if next(self._iterator, None) is None:
                    raise UsageError(f"the loader ends after {item} items, and the run had taken {state['items']} of this pass; give the data that it was trained on")
        self._items = state["items"]
        if row > 0:
            self._take()
            self._inputs, self._labels, self._row = self._inputs[row:], self._labels[row:], row

    def _start(self, place: Any) -> None:
        if self._generator is not None:
            self._generator.manual_seed((self._seed * 1_000_003 + self._pass) % (1 << 63))
        sampler = getattr(self._loader, "sampler", None)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(self._pass)
        if self._has_state and place is not None:
            self._loader.load_state_dict(_from_text(place))
        self._iterator = iter(self._loader)
        self._items, self._row = 0, 0
        self._inputs = self._labels = torch.empty((0, self._tokens), dtype=torch.int64)

    def _take(self) -> None:
        """The next item in hand; a pass that is over is followed by another."""
        if self._iterator is None:
            self._start(None)
        elif self._row > 0:
            self._items += 1
            self._row = 0
        place = _to_text(self._loader.state_dict()) if self._has_state else None
        try:
            item = next(self._iterator)
        except StopIteration:
            if self._items == 0:
                raise UsageError("the loader gave nothing; a pass over it has to hold a row at least") from None
            self._pass += 1
            self._start(None)
            place = _to_text(self._loader.state_dict()) if self._has_state else None
            item = next(self._iterator, None)
            if item is None:
                raise UsageError("the loader gave nothing when it was started over; give one that can be passed over again and again")
        self._place = place
        self._inputs, self._labels = rows_of(item, self._tokens)


class JsonState:
    """A source as the library calls it: always three values, its state as text."""

    def __init__(self, source: BatchSource) -> None:
        self._source = source

    def next(self) -> tuple[Any, Any, Any]:
        taken = self._source.next()
        return (taken[0], taken[1], taken[2] if len(taken) > 2 else None)

    def state(self) -> str:
        return json.dumps(self._source.state())

    def restore(self, state: str) -> None:
        if state:
            self._source.restore(json.loads(state))

    def description(self) -> str:
        return f"batches of {type(self._source).__module__}.{type(self._source).__qualname__}"


def as_source(batches: Any, shape: tuple[int, int, int], seed: int) -> BatchSource:
    """A BatchSource as it is, a DataLoader or an iterable wrapped, a map-style Dataset in an order shuffled by (seed, pass)."""
    if isinstance(batches, BatchSource):
        return batches
    if isinstance(batches, torch.utils.data.DataLoader):
        return LoaderBatches(batches, shape, seed)
    if isinstance(batches, torch.utils.data.IterableDataset):
        return LoaderBatches(torch.utils.data.DataLoader(batches, batch_size=shape[1], generator=torch.Generator()), shape, seed)
    if hasattr(batches, "__getitem__") and hasattr(batches, "__len__") and not isinstance(batches, Sequence):
        loader = torch.utils.data.DataLoader(batches, batch_size=shape[1], shuffle=True, generator=torch.Generator())
        return LoaderBatches(loader, shape, seed)
    if hasattr(batches, "__next__"):
        raise UsageError("batches is an iterator, which can't be started over after a resume; give what makes it: a DataLoader, a Dataset, a list, or an object with next, state and restore")
    if hasattr(batches, "__iter__"):
        return LoaderBatches(batches, shape, seed)
    raise UsageError(f"batches is a {type(batches).__name__}; give a DataLoader, a Dataset, an iterable, or an object with next, state and restore")


def _generator_of(loader: Any) -> torch.Generator | None:
    """Whose seed decides on the order. Orders that nothing can bring back are refused."""
    if not isinstance(loader, torch.utils.data.DataLoader):
        return None
    own: torch.Generator | None = loader.generator
    for sampler in (loader.sampler, getattr(loader.batch_sampler, "sampler", None)):
        if sampler is None or isinstance(sampler, (torch.utils.data.SequentialSampler, torch.utils.data.DistributedSampler)) or type(sampler).__name__ == "_InfiniteConstantSampler":
            continue
        if hasattr(sampler, "generator"):
            if sampler.generator is not None:
                return sampler.generator
            if own is not None and isinstance(sampler, torch.utils.data.RandomSampler):
                sampler.generator = own
                return own
        if hasattr(loader, "state_dict") or hasattr(sampler, "set_epoch"):
            continue
        raise UsageError(
            f"the DataLoader's {type(sampler).__name__} draws from no generator of its own, so that a resume could not go on in the same order; give it generator=torch.Generator()"
        )
    return own


def rows_of(item: Any, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    if isinstance(item, Mapping):
        if "input_ids" not in item:
            raise UsageError(f"an item of the loader has the keys {', '.join(map(str, item))}; it needs input_ids")
        ids = _matrix(item["input_ids"], "input_ids")
        labels = _matrix(item["labels"], "labels") if "labels" in item else ids
        if ids.shape[1] != tokens + 1 or labels.shape != ids.shape:
            raise UsageError(f"input_ids are {tuple(ids.shape)}, labels {tuple(labels.shape)}; rows of train.sequence_length + 1 = {tokens + 1} tokens are needed, which are shifted by one")
        labels = labels.clone()
        if "attention_mask" in item:
            labels[_matrix(item["attention_mask"], "attention_mask") == 0] = IGNORED_LABEL
        return ids[:, :-1].contiguous(), labels[:, 1:].contiguous()
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise UsageError(f"an item of the loader is a {type(item).__name__}; give (inputs, labels) or a dict with input_ids")
    inputs, labels = _matrix(item[0], "inputs"), _matrix(item[1], "labels")
    if inputs.shape[1] != tokens or labels.shape != inputs.shape:
        raise UsageError(f"inputs are {tuple(inputs.shape)}, labels {tuple(labels.shape)}; rows of train.sequence_length = {tokens} tokens are needed")
    return inputs, labels


def _matrix(value: Any, name: str) -> torch.Tensor:
    if isinstance(value, (list, tuple)) and len(value) > 0 and all(isinstance(column, torch.Tensor) for column in value):
        value = torch.stack(list(value), dim=-1)  # as the default collator leaves lists of ids: a tensor a place
    tensor = torch.as_tensor(value).to(torch.int64)
    if tensor.dim() == 1:
        tensor = tensor[None]
    if tensor.dim() != 2 or len(tensor) == 0:
        raise UsageError(f"{name} of an item of the loader is {tuple(tensor.shape)}; give (rows, tokens)")
    return tensor


def _to_text(state: Any) -> str:
    return base64.b64encode(pickle.dumps(state)).decode()


def _from_text(text: str) -> Any:
    return pickle.loads(base64.b64decode(text))  # of the run's own commit: resume no run of a stranger's with a loader that keeps a state
