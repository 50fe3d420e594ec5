"""`python -m tests.ingest.stuck`: an ingest worker whose run never lets itself be unwound, told to stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from unittest.mock import patch

from ingest import __main__ as worker


def main() -> int:
    """Its exit code, one second after it was told."""
    lock = threading.Lock()

    def run(*_: object) -> None:
        with lock:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                lock.acquire()
    with patch.object(worker, "run_once", run), patch.object(worker, "LEAVING_SECONDS", 1):
        return worker.main(["--every", "1h"])


if __name__ == "__main__":
    sys.exit(main())
