"""The command ``gsnake``, as the package carries it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn


def main() -> NoReturn:
    command = Path(__file__).parent / "bin" / "gsnake"
    try:
        os.execv(command, ["gsnake", *sys.argv[1:]])
    except OSError as error:
        sys.exit(f"gsnake: {command}: {error.strerror}; this is a build folder's package, whose command is build/release/bin/gsnake")
