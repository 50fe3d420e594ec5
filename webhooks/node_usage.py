"""What allocations used becomes usage records a few minutes after they are released, also where no ingest worker runs."""

from __future__ import annotations

from data.node_usage import keep_node_usage
from data.postgres.health import TROUBLE
from data.postgres.store import Store
from webhooks.log import say

ACTOR = "worker"


def keep_finished(store: Store) -> None:
    """Called by a timer in every sidecar; whoever comes while another keeps usage leaves it for the next time."""
    try:
        if kept := keep_node_usage(store, ACTOR):
            say("usage.kept", source="gpu_node", allocations=kept)
    except TROUBLE as error:
        say("usage.trouble", error=type(error).__name__, detail=str(error)[:300])
