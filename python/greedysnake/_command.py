"""The command ``gsnake``, as the package carries it."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import NoReturn


def main() -> NoReturn:
    command = Path(__file__).parent / "bin" / "gsnake"
    torch = importlib.util.find_spec("torch")  # without importing it, which takes seconds
    if torch is not None and torch.origin is not None:
        folders = [str(Path(torch.origin).parent / "lib"), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        os.environ["LD_LIBRARY_PATH"] = ":".join(folders)
    try:
        os.execv(command, ["gsnake", *sys.argv[1:]])
    except OSError as error:
        sys.exit(f"gsnake: {command}: {error.strerror}; this is a build folder's package, whose command is build/release/bin/gsnake")
