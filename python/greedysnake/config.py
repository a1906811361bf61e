"""Configs: the tables of ``gsnake train``'s TOML (docs/config.md), as a file, as text or as a dict."""

from __future__ import annotations

import json
import math
import numbers
import os
from collections.abc import Mapping, Sequence
from typing import Any

from . import _native
from .errors import UsageError


class Config:
    """A validated config. Immutable: :meth:`replace` makes another one.

    Args:
        source: a TOML file, or a dict of the same structure: ``{"train": {"steps": 10}, "run": {"dir": "./run"}}``. Relative paths are relative to the
            file, and of a dict to the current folder.
        overrides: ``"section.key=value"``, applied last, as the command's ``--set``.

    Raises:
        UsageError: an unknown key, with the nearest valid one; a value out of range, with what is allowed.
        InputError: the file can't be read.
    """

    def __init__(self, source: str | os.PathLike[str] | Mapping[str, Any], overrides: Sequence[str] = ()) -> None:
        if isinstance(source, Mapping):
            self._text, self._folder = _toml_of(source), os.getcwd()
        else:
            path = os.path.abspath(os.fspath(source))
            _native.Config.load(path, list(overrides))  # whose messages name the file
            self._folder = os.path.dirname(path)
            with open(path, encoding="utf-8") as file:
                self._text = file.read()
        self._overrides = list(overrides)
        self._native = _native.Config.parse(self._text, self._folder, self._overrides)

    @classmethod
    def _of_native(cls, native: Any) -> Config:
        config = cls.__new__(cls)
        config._text, config._folder, config._overrides = _toml_of(json.loads(native.to_json())), os.getcwd(), []
        config._native = native
        return config

    def replace(self, *overrides: str) -> Config:
        """The same with some ``"section.key=value"`` changed."""
        changed = Config.__new__(Config)
        changed._text, changed._folder, changed._overrides = self._text, self._folder, [*self._overrides, *overrides]
        changed._native = _native.Config.parse(changed._text, changed._folder, changed._overrides)
        return changed

    def __reduce__(self) -> tuple[Any, ...]:
        return (_of_parts, (self._text, self._folder, self._overrides))

    def to_dict(self) -> dict[str, Any]:
        """All keys, defaults included. Sizes and rates are numbers of bytes (a second)."""
        return json.loads(self._native.to_json())

    @property
    def batch_shape(self) -> tuple[int, int, int]:
        """(micro_batches, micro_batch_size, sequence_length) of a step."""
        return self._native.batch_shape()

    def __getitem__(self, key: str) -> Any:
        """``config["train.steps"]`` or ``config["train"]``."""
        value: Any = self.to_dict()
        for part in key.split("."):
            value = value[part]
        return value

    def __repr__(self) -> str:
        return f"Config({self.to_dict()!r})"


def _of_parts(text: str, folder: str, overrides: list[str]) -> Config:
    config = Config.__new__(Config)
    config._text, config._folder, config._overrides = text, folder, overrides
    config._native = _native.Config.parse(text, folder, overrides)
    return config


def as_config(config: Config | str | os.PathLike[str] | Mapping[str, Any]) -> Config:
    return config if isinstance(config, Config) else Config(config)


def _toml_of(tables: Mapping[str, Any]) -> str:
    lines = []
    for section, keys in tables.items():
        if not isinstance(keys, Mapping):
            raise UsageError(f"config['{section}'] is {keys!r}; a config is a dict of tables: {{'train': {{'steps': 10}}}}")
        lines.append(f"[{_key(section)}]")
        lines += [f"{_key(key)} = {_value(value, f'{section}.{key}')}" for key, value in keys.items() if value is not None]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return json.dumps(str(name))


def _value(value: Any, key: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        if not math.isfinite(value):
            raise UsageError(f"{key} = {value}: it must be finite")
        return repr(float(value))
    if isinstance(value, (str, os.PathLike)):
        return json.dumps(os.fspath(value), ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {_value(item, key)}" for name, item in value.items() if item is not None) + " }"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_value(item, key) for item in value) + "]"
    raise UsageError(f"{key} is a {type(value).__name__}; give a number, a string, a bool, a list or a dict")
