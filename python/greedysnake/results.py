"""What the library tells, as dataclasses. Times are in milliseconds, sizes in bytes, unless a name says otherwise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepResult:
    """One optimizer update over all micro-batches."""

    step: int
    """Attempts, from 1."""
    loss: float
    """Mean over the step's counted tokens; NaN where it counts none."""
    grad_norm: float
    """L2 over all parameters, tied ones once; before clipping, without the loss scale."""
    learning_rate: float
    loss_scale: float
    """That the step ran with (fp16; else 1)."""
    skipped: bool
    """Not finite: it changed nothing (``train.on_nonfinite = "skip"``)."""
    redone: bool
    """Updates made before the clip factor was known were done over (``optimizer.clipping_mode = "speculative"``)."""
    tokens: int
    """Counted by the loss."""
    step_ms: float
    tokens_per_second: float
    lanes: dict[str, float]
    """Milliseconds in which each lane had at least one task."""
    predicted_ms: float | None
    """What the simulator said of ``step_ms`` before the run; None without a machine profile."""
    rewards: dict[str, float] | None
    """Of preference pairs: chosen, rejected, accuracy, margin. None under another objective."""


@dataclass(frozen=True)
class Traffic:
    """Bytes moved since the call before, and how busy each lane was."""

    ssd_read_bytes: int
    ssd_write_bytes: int
    h2d_bytes: int
    d2h_bytes: int
    dequantised_elements: int
    busy_ms: dict[str, float]


@dataclass(frozen=True)
class MemoryItem:
    tier: str
    name: str
    bytes: int
    detail: str


@dataclass(frozen=True)
class RunReport:
    """What a run settled on before its first step."""

    run_id: str
    io_engine: str
    io_reason: str
    direct_io: bool
    compute_dtype: str
    formats: str
    compute_threads: int
    optimizer_threads: int
    delay: float
    """The fraction of each update that is delayed into the next step, after rounding."""
    order: str
    parameters: int
    trained_parameters: int
    host_bytes: int
    """Charged to ``memory.host_budget``."""
    device_bytes: int
    base_bytes: int
    """Resident beside what is charged to the budgets: libraries, code, stacks."""
    in_memory_bytes: int
    """What training without offload would hold."""
    ssd_read_bytes_per_step: int
    ssd_write_bytes_per_step: int
    resumed_step: int
    """0: a new run."""
    choices: list[str]
    """The planner's, as a config has them."""
    memory: list[MemoryItem]

    def __post_init__(self) -> None:
        object.__setattr__(self, "memory", [item if isinstance(item, MemoryItem) else MemoryItem(**item) for item in self.memory])


@dataclass(frozen=True)
class RunOutcome:
    """How :func:`greedysnake.train` ended."""

    exit_status: int
    """0, or 143 and 129 when SIGTERM or SIGHUP stopped the run, which is then committed."""
    steps: int
    """That this call trained."""
    step: int | None
    """The run's last."""
    loss: float | None
    validation_loss: float | None


@dataclass(frozen=True)
class TransferReport:
    """Weights imported or exported."""

    step: int
    parameters: int
    bytes: int
    files: int
    dtype: str
    seconds: float


@dataclass(frozen=True)
class BaseReport:
    """A frozen base that was written."""

    id: str
    parameters: int
    bytes: int
    seconds: float
