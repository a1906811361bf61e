"""Hugging Face folders in and out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import _native
from .config import Config, as_config
from .model import Model
from .results import BaseReport, TransferReport
from .trainer import shaped_for

ProgressCallback = Callable[[str, int, int], None]


def import_weights(
    config: Config | str | os.PathLike[str] | Mapping[str, Any], model: Model | None = None, *, overwrite: bool = False, progress: ProgressCallback | None = None
) -> TransferReport:
    """A new run in ``run.dir`` with the weights of ``model.from``, committed as step 0. Needs little memory for a model of any size."""
    return TransferReport(**_native.import_folder(shaped_for(as_config(config), model)._native, model, overwrite, progress))


def export_weights(
    run: str | os.PathLike[str],
    to: str | os.PathLike[str],
    model: Model | None = None,
    *,
    dtype: str = "",
    merge: bool = False,
    shard_bytes: int = 5_000_000_000,
    config_json: str = "",
    ssd_paths: Sequence[str | os.PathLike[str]] = (),
    progress: ProgressCallback | None = None,
) -> TransferReport:
    """The weights of a run's last commit as a folder that appears at ``to`` when it is complete.

    Args:
        run: the run's folder; it may be trained meanwhile.
        model: of a run of your own units, with ``names``.
        dtype: fp32 (the master weights), bf16, fp16; "": the run's.
        merge: of a run with an adapter: the whole model, with what the adapter does to it.
        config_json: of a model of your own: what the folder's config.json says.
    """
    paths = [os.fspath(path) for path in ssd_paths]
    return TransferReport(**_native.export_folder(os.fspath(run), os.fspath(to), model, dtype, merge, shard_bytes, config_json, paths, progress))


def quantize(
    source: str | os.PathLike[str], to: str | os.PathLike[str], *, format: str = "nf4", embeddings: str = "", progress: ProgressCallback | None = None
) -> BaseReport:
    """A frozen base for adapters (``adapter.base``) at ``to``, of the weights in a Hugging Face folder. ``format``: bf16, int8, nf4 or mxfp4."""
    return BaseReport(**_native.quantize_folder(os.fspath(source), os.fspath(to), format, embeddings, progress))


def run_config(run: str | os.PathLike[str], ssd_paths: Sequence[str | os.PathLike[str]] = ()) -> Config:
    """The config that a run was last committed with, with folders where they are now."""
    return Config._of_native(_native.run_config(os.fspath(run), [os.fspath(path) for path in ssd_paths]))
