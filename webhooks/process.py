"""How the interpreter of a sidecar is set up: threads that let the door in at once, and a collector of garbage that leaves alone what
stays for good.
"""

from __future__ import annotations

import gc
import sys

SWITCH_SECONDS = 0.0005         # the door waits so long, at most, for a worker's thread to let go of the interpreter
YOUNG = 20_000                  # objects more than were let go of before cycles are looked for: a batch of events in hand is half of it


def settle() -> None:
    """Call it once everything is imported and made."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)
