"""Texts that a model goes on with, and how well it knows some: by token ids. Tokenizers are yours (``tokenizers``, ``transformers``)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from . import _native
from ._process import tell_of_spinning
from .errors import UsageError
from .model import Model


@dataclass(frozen=True)
class GeneratedText:
    tokens: list[int]
    """That were added to the prompt."""
    stopped: bool
    """By one of ``stop``, or by ``take``."""


@dataclass(frozen=True)
class GenerationCounts:
    """What was done so far."""

    passes: int
    """Over the weights."""
    positions: int
    """Tokens that went through the blocks."""
    drafted: int
    """Of these, guesses,"""
    accepted: int
    """and those that came true."""
    read_bytes: int
    """Of weights, from a drive."""


@dataclass(frozen=True)
class Evaluation:
    text_rows: int
    tokens: int
    negative_log_likelihood: float | None
    """Mean over all tokens, in nats."""
    perplexity: float | None
    choice_rows: int
    accuracy: float | None
    """Of the choice with the highest log-likelihood."""
    normalised_accuracy: float | None
    """Of the highest after division by the choice's length in characters."""
    passes: int
    seconds: float


class _Opened:
    """Of a run or a folder; of which kind, ``_kind`` of a derived class says."""

    _kind: type[Any]

    def __init__(
        self,
        run: str | os.PathLike[str] | None = None,
        *,
        folder: str | os.PathLike[str] | None = None,
        model: Model | None = None,
        ssd_paths: Sequence[str | os.PathLike[str]] = (),
        device: str = "",
        device_budget: int = 0,
        host_budget: int = 0,
        context: int = 0,
    ) -> None:
        tell_of_spinning()
        self._native = self._kind(*_place(run, folder, model), [os.fspath(path) for path in ssd_paths], device, device_budget, host_budget, context)

    @property
    def context(self) -> int:
        """Tokens that a text has at most."""
        return self._native.context


class Generator(_Opened):
    """Goes on with prompts, streaming the weights that the budgets have no room for; keys and values of earlier tokens are kept.

    Args:
        run: a run's folder, whose last commit is read, also while it is trained; or
        folder: a Hugging Face folder of a built-in family.
        model: of a run of your own units, which compute whole texts for every token.
        ssd_paths: where a run's are now; none: where they were.
        device: in place of the run's; "": that.
        device_budget, host_budget: bytes; 0: the run's.
        context: tokens that a text has at most; 0: ``train.sequence_length`` of a run, the model's of a folder.
    """

    _kind = _native.Generator

    def generate(
        self,
        prompts: Iterable[Sequence[int]],
        *,
        tokens: int = 200,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 1,
        stop: Sequence[int] = (),
        drafts: bool = True,
        take: Callable[[int, int], bool | None] | None = None,
    ) -> list[GeneratedText]:
        """Goes on with each prompt, all of them in each pass over the weights.

        Args:
            prompts: token ids.
            tokens: that are added to each, at most.
            temperature: 0: the most likely token. top_k, top_p: as usual; 0 and 1: all tokens.
            stop: ids of tokens that end a text and are no part of it.
            drafts: guess tokens by what stood in the text before; what is drawn is the same.
            take: called with (prompt's number, token) as soon as one is drawn, on another thread; False ends the text.
        """
        given = [list(prompt) for prompt in prompts]
        return [GeneratedText(*text) for text in self._native.generate(given, tokens, temperature, top_k, top_p, seed, list(stop), drafts, take)]

    @property
    def counts(self) -> GenerationCounts:
        return GenerationCounts(**self._native.counts())


class Evaluator(_Opened):
    """Scores texts. Opens a model as :class:`Generator` does."""

    _kind = _native.Evaluator

    def log_likelihoods(self, texts: Iterable[Sequence[int] | tuple[Sequence[int], int]], *, stride: int = 0, pass_tokens: int = 4096) -> list[float]:
        """By text, the sum of its tokens' log-likelihoods in nats: from the second on, or, of (tokens, first), from that one on."""
        scored = [(list(text[0]), text[1]) if isinstance(text, tuple) and len(text) == 2 and isinstance(text[0], Sequence) else (list(text), 1) for text in texts]
        return self._native.log_likelihoods(scored, stride, pass_tokens)

    def evaluate(self, path: str | os.PathLike[str], encode: Callable[[str], Sequence[int]], *, stride: int = 0, pass_tokens: int = 4096) -> Evaluation:
        """Perplexity and multiple choice over a JSONL file (docs/generate.md). ``encode``: the model's tokenizer, with what it puts before a text."""
        return Evaluation(**self._native.evaluate(os.fspath(path), lambda text: list(encode(text)), stride, pass_tokens))


def _place(run: str | os.PathLike[str] | None, folder: str | os.PathLike[str] | None, model: Model | None) -> tuple[str, bool, Model | None]:
    if (run is None) == (folder is None):
        raise UsageError("name what the weights are of: a run, or folder= a Hugging Face folder")
    if folder is not None and model is not None:
        raise UsageError("a model of your own goes with a run")
    path = run if run is not None else folder
    assert path is not None
    return os.fspath(path), run is not None, model
