"""What can fail, as one hierarchy. Every message is one line: what failed, on what, why, and what to do."""

from __future__ import annotations

from typing import Any

from .results import StepResult


class Error(Exception):
    """Whatever the library refuses or fails at. Its kinds are below.

    Attributes:
        exit_status: what the ``gsnake`` command would end with.
        errno: the operating system's error number behind it, or None.
    """

    exit_status: int = 1
    errno: int | None = None


class UsageError(Error, ValueError):
    """The call or the config is wrong."""

    exit_status = 2


class BudgetError(Error):
    """Does not fit a memory budget. The message holds the table of what needs what."""

    exit_status = 3


class StorageError(Error):
    """A drive, a file system or a folder's lock failed."""

    exit_status = 4


class InputError(Error):
    """An input file is missing or malformed."""

    exit_status = 5


class NonFiniteError(Error, ArithmeticError):
    """The loss, a gradient or a weight stopped being finite.

    Attributes:
        result: what else is known of the step.
    """

    exit_status = 6

    def __init__(self, message: str, result: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.result = None if result is None else StepResult(**result)


class DeviceError(Error):
    """A device failed: of CUDA, a call or a kernel."""

    exit_status = 7


class RankError(Error):
    """Another rank failed, or gave no sign of life."""

    exit_status = 8


BY_STATUS = {kind.exit_status: kind for kind in (UsageError, BudgetError, StorageError, InputError, NonFiniteError, DeviceError, RankError)}
