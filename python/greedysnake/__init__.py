"""Trains language models larger than memory by streaming weights, optimizer state and activations from SSD.

>>> import greedysnake as gs
>>> gs.train("config.toml")                              # a whole run, as the command makes it
>>> with gs.Trainer("config.toml") as trainer:           # or step by step, on batches of your own
...     result = trainer.step(inputs, labels)

Models of your own are :class:`Model` s of ``torch.nn.Module`` s; :mod:`greedysnake.hf` takes a transformers model apart. What fails is an :class:`Error`.
Messages go to ``logging.getLogger("greedysnake")``.
"""

import torch as _torch  # first: its libraries are the ones that ours use

try:
    from . import _native
except ImportError as _error:
    raise ImportError(f"greedysnake does not load beside torch {_torch.__version__}: {_error}. Install the torch that it was built with (pip show greedysnake), or build it again") from _error

if _torch.__version__.split(".")[:2] != _native.torch_version.split(".")[:2]:
    raise ImportError(f"greedysnake was built with torch {_native.torch_version}, and this is torch {_torch.__version__}: install that one, or build greedysnake again")

from . import callbacks, data, errors, hf
from ._process import log as _log
from .config import Config
from .data import IGNORED_LABEL
from .errors import BudgetError, DeviceError, Error, InputError, NonFiniteError, RankError, StorageError, UsageError
from .generator import Evaluation, Evaluator, GeneratedText, GenerationCounts, Generator
from .model import Model, Names
from .results import BaseReport, MemoryItem, RunOutcome, RunReport, StepResult, Traffic, TransferReport
from .run import train
from .trainer import Trainer
from .transfer import export_weights, import_weights, quantize, run_config

__version__: str = _native.version
_native.set_error_classes(errors.BY_STATUS)
_native.log_to(_log.log, 20)

__all__ = [
    "IGNORED_LABEL", "BaseReport", "BudgetError", "Config", "DeviceError", "Error", "Evaluation", "Evaluator", "GeneratedText", "GenerationCounts", "Generator", "InputError", "MemoryItem", "Model", "Names", "NonFiniteError", "RankError", "RunOutcome",
    "RunReport", "StepResult", "StorageError", "Traffic", "Trainer", "TransferReport", "UsageError", "callbacks", "data", "errors", "export_weights", "hf", "import_weights", "quantize",
    "run_config", "train",
]
