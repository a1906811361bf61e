"""What this process is told once."""

from __future__ import annotations

import logging
import os

log = logging.getLogger("greedysnake")
_said = False


def tell_of_spinning() -> None:
    """libgomp reads how its threads wait when it is loaded, with torch: too late to change."""
    global _said
    if _said or "OMP_WAIT_POLICY" in os.environ or "GOMP_SPINCOUNT" in os.environ:
        return
    _said = True
    log.warning(
        "torch's OpenMP threads spin while they wait, which takes the cores from the optimizer and from I/O: start Python with OMP_WAIT_POLICY=passive "
        "GOMP_SPINCOUNT=3000 in the environment"
    )
