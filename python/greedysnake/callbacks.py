"""Where metrics can go besides metrics.jsonl: pass these as ``on_step``."""

from __future__ import annotations

import math
import os
from types import TracebackType

from .results import StepResult


class TensorBoard:
    """Scalars of each step as TensorBoard shows them; needs the package ``tensorboard``.

    Args:
        folder: of event files. A resumed run goes on in the same folder: steps that are repeated supersede the earlier ones.
        first_step: the step that follows the last commit, where known: what was written from there on is hidden.
    """

    def __init__(self, folder: str | os.PathLike[str], first_step: int | None = None) -> None:
        from torch.utils.tensorboard import SummaryWriter  # only users of it need it installed

        self._writer = SummaryWriter(os.fspath(folder), purge_step=first_step)

    def __call__(self, result: StepResult, validation_loss: float | None = None) -> None:
        values = {
            "loss/train": result.loss,
            "loss/validation": validation_loss,
            "optimizer/grad_norm": result.grad_norm,
            "optimizer/learning_rate": result.learning_rate,
            "optimizer/loss_scale": result.loss_scale if result.loss_scale != 1.0 else None,
            "speed/tokens_per_second": result.tokens_per_second,
            "speed/step_ms": result.step_ms,
            "speed/predicted_ms": result.predicted_ms,
        }
        values |= {f"lanes/{lane}_ms": busy for lane, busy in result.lanes.items()}
        values |= {f"rewards/{name}": value for name, value in (result.rewards or {}).items()}
        for name, value in values.items():
            if value is not None and not math.isnan(value):
                self._writer.add_scalar(name, value, result.step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
