"""Allocations that are over, as usage records: what was held for how long, at what was charged. They were paid from a wallet as they
ran, so they are never priced, never on a receipt and never corrected. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from engine.allocations import Allocation
from engine.nodes import Node
from engine.rates import NODE_TIER, Policy
from engine.rating import CHARGE_SCHEMA
from engine.usage import USAGE_SCHEMA, JobState
from engine.wallets import project_of

SOURCE = "gpu_node"
CLUSTER = "nodes-"                          # before the site


@dataclass(frozen=True, slots=True)
class Finished:
    """An allocation that ran and is released, its node, and who its holder's usage is billed to."""

    allocation: Allocation
    node: Node
    payer: str


SCHEMA: dict[str, pl.DataType] = {**USAGE_SCHEMA, "payer": pl.String(), "tier": pl.String(), **CHARGE_SCHEMA}


NOTHING = ("alloc_cpus", "alloc_mem_mib", "cpu_used_core_seconds", "mem_used_mib_seconds", "cpu_core_seconds", "mem_mib_seconds",
           "extra_seconds", "cpu_micro", "mem_micro", "extra_micro", "rounding_micro")     # it was the GPUs that were paid


def usage_of(finished: Sequence[Finished]) -> pl.DataFrame:
    """One row each (SCHEMA): elapsed are the seconds that were billed, the cost is what was charged to the micro-unit."""
    return pl.DataFrame([_row(one) for one in finished], schema=SCHEMA, orient="row")


def _row(one: Finished) -> dict[str, object]:
    allocation, node = one.allocation, one.node
    cluster = f"{CLUSTER}{node.site}"
    nothing: dict[str, object] = dict.fromkeys(NOTHING, 0)
    return nothing | {
        "run_key": f"{cluster}/{allocation.id}", "cluster": cluster, "job_id": allocation.id, "sluid": allocation.id,
        "job_id_raw": _unix(allocation.requested_at), "job_name": node.address.name, "user_name": allocation.holder,
        "account_name": project_of(allocation.wallet) or allocation.wallet, "partition_name": node.rate_model, "qos": "",
        "node_list": node.address.name, "state": str(JobState.COMPLETED), "submit_at": _unix(allocation.requested_at),
        "start_at": _unix(allocation.active_at), "end_at": _unix(allocation.stopped_at), "elapsed_seconds": allocation.billed_seconds,
        "alloc_tres": f"gres/gpu:{node.rate_model}={node.gpu_count}", "alloc_gpus": node.gpu_count, "cpu_used_from": "",
        "mem_used_from": "", "ended": True, "detail": 0, "payer": one.payer, "tier": NODE_TIER, "rate_card": allocation.rate_card,
        "policy": str(Policy.ALLOCATED), "currency": allocation.currency, "gpu_seconds": allocation.billed_seconds * node.gpu_count,
        "gpu_micro": allocation.charged_micro, "cost_micro": allocation.charged_micro}


def _unix(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())
