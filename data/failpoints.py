"""Failpoints: named places at transaction boundaries where a test can kill the process or raise.

`COREHOURS_FAILPOINT=name` or `name:kill` ends the process there with SIGKILL, `name:raise` raises. Does nothing
in production, whatever the environment says.
"""

from __future__ import annotations

import os
import signal

NAMES = ("checkout.made", "checkout.kept", "inbox.storing", "inbox.stored", "inbox.claimed",
         "inbox.applying", "inbox.applied", "inbox.processed")


class Failpoint(Exception):
    """A test asked for trouble here."""


def hit(name: str) -> None:
    """Die here when the environment names this place. Call it with one of NAMES."""
    assert name in NAMES, name
    wanted, _, how = os.environ.get("COREHOURS_FAILPOINT", "").partition(":")
    if wanted != name or os.environ.get("COREHOURS_ENV", "development") != "development":
        return
    if how == "raise":
        raise Failpoint(name)
    os.kill(os.getpid(), signal.SIGKILL)
