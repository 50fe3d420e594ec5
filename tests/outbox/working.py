"""`python -m tests.outbox.working FILE SECONDS`: outbox workers of a process of their own. Their handler for `test.write` adds the
job's key to FILE, one write a line, after so many seconds."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from data.postgres.store import Store, connect
from data.settings import load
from engine.outbox import Job
from webhooks.jobs import Context
from webhooks.metrics import Metrics
from webhooks.outbox import OutboxWorker


def main(file: Path, seconds: float) -> None:
    """Work until killed."""
    def write(job: Job, context: Context) -> str:
        time.sleep(seconds)
        context.hold(job)
        handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, f"{job.key}\n".encode())
        os.close(handle)
        return "written"
    settings = load()
    assert settings.database_url is not None
    store = Store(connect(settings.database_url.get_secret_value()), settings)
    OutboxWorker(store, {}, Metrics([], lambda: (_ for _ in ()).throw(AssertionError)), {"test.write": write}).start()
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
