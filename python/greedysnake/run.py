"""A whole run, as ``gsnake train`` makes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from . import _native
from ._process import tell_of_spinning
from .config import Config, as_config
from .data import JsonState, as_source, rows_of
from .model import Model
from .results import RunOutcome, StepResult
from .trainer import shaped_for

StepCallback = Callable[[StepResult, "float | None"], None]
_INTERRUPTED = 130  # exit status: by SIGINT


def train(
    config: Config | str | os.PathLike[str] | Mapping[str, Any],
    model: Model | None = None,
    *,
    batches: Any = None,
    validation: Iterable[tuple[Any, ...]] | None = None,
    on_step: StepCallback | Sequence[StepCallback] = (),
    resume: str = "auto",
    overwrite: bool = False,
    allow_change: Sequence[str] = (),
    from_step: int | None = None,
    machine: str | os.PathLike[str] = "",
    signals: bool = True,
    progress: bool = True,
) -> RunOutcome:
    """Trains to ``train.steps``: data, validation, metrics.jsonl, progress, commits, signals, as ``gsnake train`` does.

    Args:
        config: a :class:`Config`, a TOML file or a dict.
        model: of your own units; None: the one of ``[model]``.
        batches: in place of ``data.train``: a DataLoader, a map-style Dataset, an iterable, or an object with ``next``, ``state`` and ``restore``
            (:class:`greedysnake.data.BatchSource`). Its place is kept in every commit, and a resume goes on from there.
        validation: in place of ``data.validation``: (inputs, labels) pairs of whole micro-batches, all of them taken into memory.
        on_step: called with (:class:`StepResult`, validation loss or None) after each step; several, in order. What it raises ends the run at its last commit.
        resume, overwrite, allow_change, from_step, machine: as of :class:`Trainer`.
        signals: stop, committed, on SIGINT, SIGTERM and SIGHUP. False: signals stay as they are; Ctrl-C is raised in the next callback, or when this returns.
        progress: show a progress line where stderr is a terminal.

    Raises:
        KeyboardInterrupt: on Ctrl-C, after the step in hand was finished and committed.
        Error: :mod:`greedysnake.errors`.
    """
    settled = shaped_for(as_config(config), model)
    tell_of_spinning()
    callbacks = [on_step] if callable(on_step) else list(on_step)
    seed = settled["train.seed"]

    def told(result: dict[str, Any], validation_loss: float | None) -> None:
        step = StepResult(**result)
        for callback in callbacks:
            callback(step, validation_loss)

    def make_batches(known: Any) -> JsonState:
        return JsonState(as_source(batches, known.batch_shape(), seed))

    def make_validation(known: Any) -> list[tuple[Any, Any, Any]]:
        del known
        tokens = settled.batch_shape[2]
        return [(*rows_of(taken, tokens), None) if isinstance(taken, Mapping) else (taken[0], taken[1], taken[2] if len(taken) > 2 else None) for taken in validation]

    try:
        outcome = RunOutcome(
            **_native.train(
                settled._native,
                model,
                resume,
                overwrite,
                list(allow_change),
                from_step,
                os.fspath(machine),
                told if callbacks else None,
                None if batches is None else make_batches,
                None if validation is None else make_validation,
                signals,
                progress,
            )
        )
    finally:
        if model is not None:
            model.forget()
    if outcome.exit_status == _INTERRUPTED:
        raise KeyboardInterrupt
    return outcome
