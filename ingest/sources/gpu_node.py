"""Usage of nodes that were rented out. It is in our own books already: nothing is asked, parsed or priced here."""

from __future__ import annotations

import logging

from data.node_usage import keep_node_usage
from data.postgres.store import Store

log = logging.getLogger("ingest")


def keep_finished(store: Store) -> int:
    """Keep what allocations used that are over by now; how many."""
    if kept := keep_node_usage(store):
        log.info("taken from gpu_node: %d allocations", kept)
    return kept
