"""The product's door without what is done behind it: `python -m bench.product_door PORT`, the sidecar as it is but for its workers,
which do not begin. What a bare handler that only stores can be compared with.
"""

from __future__ import annotations

import sys

import uvicorn

from data.postgres.store import Store, connect
from data.settings import load
from webhooks.app import make_app
from webhooks.process import settle
from webhooks.queue_worker import QueueWorker


def main(port: int) -> None:
    """Serve until told to stop."""
    QueueWorker.start = QueueWorker.stop = lambda self: None            # type: ignore[method-assign]
    settings = load()
    assert settings.database_url is not None
    store = Store(connect(settings.database_url.get_secret_value()), settings)
    app = make_app(settings, store, f"http://127.0.0.1:{port}")
    settle()
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False, server_header=False,
                timeout_graceful_shutdown=5, timeout_keep_alive=15)


if __name__ == "__main__":
    main(int(sys.argv[1]))
