"""One JSON object a line on stdout: what operators grep and log collectors read. Holds no secret and no query string."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime


def say(event: str, **facts: object) -> None:
    """Write one line; `facts` are JSON values."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    print(json.dumps({"at": at, "event": event, **facts}, ensure_ascii=True, default=str), file=sys.stdout, flush=True)
