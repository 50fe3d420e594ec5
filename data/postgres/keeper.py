"""Stops an embedded Postgres that lost all its users without a word (kill -9). A script of its own, started beside the
server; it knows the standard library only and looks once a second.

    python keeper.py USERS-LOCK-FILE PID DATA-DIRECTORY
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from pathlib import Path


def main(users: str, pid: int, data: str) -> None:
    """Look until the server is gone: stopped by its last user, or by us because there is none left."""
    while _runs(pid, data):
        time.sleep(1)
        if _nobody_holds(users) and _runs(pid, data):
            os.kill(pid, signal.SIGINT)


def _runs(pid: int, data: str) -> bool:
    try:
        return data.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _nobody_holds(users: str) -> bool:
    try:
        with Path(users).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except FileNotFoundError:   # the whole home is gone
        return True
    except BlockingIOError:
        return False


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
