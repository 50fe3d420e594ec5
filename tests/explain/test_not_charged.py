"""`./corehours explain`: why was this not charged? Each answer out of real books, by the command, with its code and a sentence."""

from __future__ import annotations

import json
from pathlib import Path

from data.postgres.store import Store
from engine.policy import OPERATOR
from engine.rate_text import cards_from_text
from engine.services.payers import set_tier
from engine.services.rates import publish_cards
from engine.services.receipts import mark_paid, void_receipt
from tests.conftest import Corehours
from tests.engine.usage_frames import ENDED, run
from tests.explain.examples import load, publish
from tests.flows.examples import bill, keep_runs
from tests.ingest.reading import job, sacct

FREE = {"alloc_gpus": 0, "mem_used_mib_seconds": 0}


def test_every_reason_for_a_job_that_cost_nothing_or_is_not_paid_for(store: Store, corehours: Corehours, tmp_path: Path) -> None:
    """Alice is at mu, where ten core-hours are free; bob at private, at zero; carol is billed, dave's receipt is void."""
    publish(store, "cpu: {price: 1, free: 10}, gpu: 1, mem: 1")
    keep_runs(store, run(1, **FREE), run(2, state="RUNNING", end_at=None, ended=False), run(3, user_name="bob", end_at=ENDED - 1),
              run(4, user_name="carol"), run(5, user_name="dave"), run(6, user_name="erin"))
    store.run(lambda tx: set_tier(tx, "bob", "private", OPERATOR))
    zero(store)
    paid, void = bill(store, "carol"), bill(store, "dave")
    store.run(lambda tx: mark_paid(tx, paid.id, "cash", OPERATOR))
    store.run(lambda tx: void_receipt(tx, void.id, "wrong payer", OPERATOR))
    load(store, tmp_path / "u.txt", sacct(job("8", State="WHAT")))
    for number, reason, sentence in (
            ("1", "free_quota", "The free 10 core-hours of its month (2026-09, card mu-v2) cover it, so it costs nothing."),
            ("2", "running", "It is still running: it is priced when it ends."),
            ("3", "zero_rate", "Card private-v2 prices what it used at zero, so it costs nothing."),
            ("4", "on_receipt", f"It is on receipt {paid.number} (paid)."),
            ("5", "receipt_void", f"It was on receipt {void.number}, which was voided: it is unbilled again, the next receipt takes it."),
            ("6", "unbilled", "It is not billed yet: the next receipt takes it."),
            ("8", "quarantined", "A line that names it could not be read and is set aside: line 2 of ingest run"),
            ("9", "unknown", "No source ever told of job 9.")):
        told = json.loads(corehours("explain", number, "--json").stdout)
        assert (told["reason"], sentence in told["why"]) == (reason, True)
    assert corehours("explain", "1").stdout.splitlines()[-1].startswith("The free 10 core-hours of its month")


def zero(store: Store) -> None:
    """Private costs nothing from August on."""
    text = "tier: private\ncurrency: THB\nvalid_from: 2026-08-01\npolicy: used\nrounding: per_job_minor\nprices: {cpu: 0, gpu: 0, mem: 0}\n"
    store.run(lambda tx: publish_cards(tx, cards_from_text(text), OPERATOR))
