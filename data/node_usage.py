"""Keeps what allocations used once they are released: usage records as any other's, in Postgres and in the analytics copy, marked as
paid. One batch at a time with whatever else is kept; each allocation once, which its own row says.
"""

from __future__ import annotations

from data.postgres.shelves.runs import Counts
from data.postgres.store import PostgresTransaction, Store
from data.postgres.turns import KEEPING, turn_if_free
from engine.node_usage import SOURCE, Finished, usage_of
from engine.revisions import facts

MOST = 10_000                               # in one transaction


def keep_node_usage(store: Store, actor: str = "ingest") -> int:
    """Keep all that is released and not kept yet; how many. None when somebody else keeps usage just now: they come again."""
    count = 0
    with turn_if_free(store.engine, KEEPING) as mine:
        while mine and store.read(lambda tx: tx.allocations.unkept(1)):
            count += store.run(_keep, actor, "node.usage")
    return count


def _keep(tx: PostgresTransaction) -> int:
    nodes = {node.id: node for node in tx.nodes.all(retired=True)}
    payers = {person.id: person.payer for person in tx.users.everybody()}
    finished = [Finished(one, nodes[one.node_id], payers[one.user_id]) for one in tx.allocations.unkept(MOST)]
    frame = usage_of(finished)
    tx.payers.ensure(sorted({one.payer for one in finished}), tx.settings.default_tier)
    run_id = tx.runs.begin(SOURCE, _sites(finished), None)
    tx.lake.add(facts(frame))
    tx.lake.finish()
    tx.usage.add([frame], len(frame), run_id, lambda _: None)
    tx.usage.settle(frame["run_key"].to_list())
    tx.allocations.note_usage([one.allocation.id for one in finished], run_id)
    tx.runs.taken(run_id, frame["cluster"].unique().to_list(), Counts(len(frame), len(frame), len(frame), 0, 0, 0), (), ())
    return len(frame)


def _sites(finished: list[Finished]) -> str:
    return ", ".join(sorted({one.node.site for one in finished}))
