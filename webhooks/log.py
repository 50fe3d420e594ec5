"""One JSON object a line on stdout: what operators grep and log collectors read. Holds no secret and no query string."""

from __future__ import annotations

import json
import sys
import threading
from datetime import UTC, datetime

SOON_SECONDS = 0.2
_written = json.JSONEncoder(ensure_ascii=True, default=str).encode
_waiting = threading.Lock()         # held while lines wait to be written out


def say(event: str, **facts: object) -> None:
    """Write one line; `facts` are JSON values."""
    print(_line(event, facts), file=sys.stdout, flush=True)


def say_soon(event: str, **facts: object) -> None:
    """The same for what comes often: written out with others, SOON_SECONDS later at most. A process that is killed takes the last
    of them along."""
    sys.stdout.write(_line(event, facts) + "\n")
    if _waiting.acquire(blocking=False):
        timer = threading.Timer(SOON_SECONDS, _write_out)
        timer.daemon = True
        timer.start()


def _write_out() -> None:
    _waiting.release()
    sys.stdout.flush()


def _line(event: str, facts: dict[str, object]) -> str:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return _written({"at": at, "event": event, **facts})
