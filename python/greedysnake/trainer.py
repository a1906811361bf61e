"""The trainer: steps over batches of the caller's own."""

from __future__ import annotations

import atexit
import json
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import torch

from . import _native
from ._process import tell_of_spinning
from .config import Config, as_config
from .errors import UsageError
from .model import Model
from .results import RunReport, StepResult, Traffic

ProgressCallback = Callable[[str, int, int], None]

_alive: weakref.WeakSet[Trainer] = weakref.WeakSet()


class Trainer:
    """Trains a model whose weights, optimizer state and activations are streamed.

    One thread drives a trainer. Whatever can be refused is refused by the constructor, with nothing left behind. With ``run.durability = "commit"`` every
    ``run.commit_every`` steps are committed while later ones run; :meth:`commit` commits now. As a context manager it commits and
    closes at the end of the block, also on Ctrl-C, which takes effect between steps; on another exception it closes, and the run stays at its last commit.

    Args:
        config: a :class:`Config`, a TOML file or a dict (docs/config.md). ``[data]`` is not used.
        model: a :class:`Model` of your own units; None: the one of the config's ``[model]``. Of a model of your own, ``model.vocab``, ``model.context`` and
            ``model.hidden`` of the config are set to what it has.
        resume: ``"auto"`` goes on from the commit in ``run.dir`` if there is one, ``"must"`` demands one, ``"never"`` refuses one unless ``overwrite``.
        overwrite: with ``resume="never"``: discard the run that is there.
        allow_change: keys of the config whose change a resume accepts although it changes the maths.
        from_step: resume from the snapshot of that step.
        machine: a machine profile for predictions and choices (docs/planner.md).
        data: what the batches are made of, as anything that JSON has: a resume that says something else is refused.
        progress: called with (what, done, total in bytes or 0) while the constructor works, on other threads.

    Raises:
        UsageError, BudgetError, StorageError, InputError, DeviceError, RankError: :mod:`greedysnake.errors`.
    """

    def __init__(
        self,
        config: Config | str | os.PathLike[str] | Mapping[str, Any],
        model: Model | None = None,
        *,
        resume: str = "auto",
        overwrite: bool = False,
        allow_change: Sequence[str] = (),
        from_step: int | None = None,
        machine: str | os.PathLike[str] = "",
        data: Any = None,
        progress: ProgressCallback | None = None,
    ) -> None:
        self.config = shaped_for(as_config(config), model)
        tell_of_spinning()
        said = "" if data is None else json.dumps(data)
        self._model = model
        self._native = _native.Trainer(
            self.config._native, model, resume, overwrite, list(allow_change), from_step, os.fspath(machine), said, progress
        )
        _alive.add(self)

    def step(self, inputs: Any, labels: Any, starts: Sequence[Sequence[int]] | None = None) -> StepResult:
        """One optimizer update over all micro-batches. Returns when loss and gradient norm are known; what is left of the update runs on.

        Args:
            inputs: token ids, ``(micro_batches, micro_batch_size, sequence_length)`` (``config.batch_shape``) or any shape of as many elements. A
                contiguous int64 tensor on the CPU, or an array over such memory, is taken without a copy.
            labels: as many: the token that follows each input, or -100 where the loss is not to count it.
            starts: of a built-in model's packed documents, for each row where one begins: ``[[0, 17, 60], ...]``. None: every row is one.

        Raises:
            NonFiniteError: the loss or a gradient is not finite and ``train.on_nonfinite`` is ``"stop"``.
        """
        self.submit(inputs, labels, starts)
        return self.wait()

    def submit(self, inputs: Any, labels: Any, starts: Sequence[Sequence[int]] | None = None) -> None:
        """The first half of :meth:`step`, so that the next step's reads begin before this one ends. At most two steps are submitted and not waited for."""
        self._refuse_starts(starts)
        self._native.submit(inputs, labels, starts)

    def wait(self) -> StepResult:
        """The result of the oldest step that was submitted."""
        return StepResult(**self._native.wait())

    def validate(self, inputs: Any, labels: Any, starts: Sequence[Sequence[int]] | None = None) -> float:
        """Mean loss over the counted tokens of any number of micro-batches, in evaluation mode; NaN where there are none. No step may be waiting."""
        self._refuse_starts(starts)
        return self._native.validate(inputs, labels, starts)

    def commit(self) -> None:
        """Applies what is delayed, brings everything to SSD and commits: the run can be resumed, exported and sampled from here."""
        self._native.commit()

    def weights(self, unit: int) -> dict[str, torch.Tensor]:
        """Of the state on SSD after :meth:`commit`: unit ``unit``'s parameters by name, float32 on the CPU. A tied head's shared one is the embedding's.

        A negative ``unit`` counts from the head.
        """
        return self._native.weights(unit)

    def take_traffic(self) -> Traffic:
        """Bytes moved, and how busy lanes were, since the call before."""
        return Traffic(**self._native.take_traffic())

    @property
    def report(self) -> RunReport:
        """What the run settled on before its first step."""
        return RunReport(**self._native.report())

    @property
    def completed_steps(self) -> int:
        """Of the whole run, those that were resumed included."""
        return self._native.completed_steps

    @property
    def committed_step(self) -> int:
        """The step that a resume would go on from; 0: none yet."""
        return self._native.committed_step

    @property
    def data_position(self) -> tuple[int, str]:
        """(cursor, state): where the data is, yours to set before each submit, kept in every commit and given back by a resume."""
        return self._native.data_position

    @data_position.setter
    def data_position(self, position: tuple[int, str]) -> None:
        self._native.data_position = position

    def record_trace(self) -> None:
        """Steps submitted from now on are recorded, until :meth:`write_trace`."""
        self._native.record_trace()

    def write_trace(self, path: str | os.PathLike[str]) -> None:
        """What was recorded, as Chrome/Perfetto JSON."""
        self._native.write_trace(os.fspath(path))

    def close(self) -> None:
        """Ends what is in flight and closes the files. What was not committed is lost; a run that never committed leaves nothing behind."""
        self._native.close()
        if self._model is not None:
            self._model.forget()

    @property
    def closed(self) -> bool:
        return self._native.closed

    def _refuse_starts(self, starts: Any) -> None:
        if starts is not None and self._model is not None:
            raise UsageError("starts: units of your own are not told where documents begin; leave it out")

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if not self.closed and (kind is None or issubclass(kind, KeyboardInterrupt)):
                while self._native.in_flight > 0:
                    self._native.wait()
                self.commit()
        finally:
            self.close()


def shaped_for(config: Config, model: Model | None) -> Config:
    """The config with the shape of a model of the user's own, which data and plans go by. Refuses what such a model can't do."""
    if model is None:
        return config
    if config["data.documents"] == "packed":
        raise UsageError('data.documents = "packed": units of your own are not told where documents begin; use separate or joined')
    return config.replace(f"model.vocab={model.vocab}", f"model.context={model.max_context}", f"model.hidden={model.hidden}", "model.heads=1", "model.kv_heads=1")


@atexit.register
def _close_all() -> None:
    """Lanes must not want the interpreter's lock when there is no interpreter."""
    for trainer in list(_alive):
        trainer.close()
    _native.stop_logging()
