"""Two hundred allocations whose wallets run dry in the same minute, while money comes in and two sidecars charge."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from engine.allocations import AllocationState
from engine.money import parse_micro
from tests.allocations.conftest import Lab
from tests.allocations.hands import Hands
from webhooks.billing_loop import BillingLoop

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
MANY, WALLETS = 200, 20                     # ten nodes a wallet, at 20 THB an hour each
_FILL = (
    "insert into node (id, site, name, host, port, host_key, gpu_model, gpu_count, rate_model, state, created_by)"
    " select 'nod_' || lpad(n\\:\\:text, 26, '0'), 'main', 'n' || n, 'n' || n, 22, key, 'A100', 4, 'a100', 'available', ''"
    " from unnest(cast(:keys as text[])) with ordinality k(key, n)",
    "insert into node_event (node_id, to_state, actor, reason) select id, 'available', 'tests', '' from node",
    "insert into allocation (id, request_key, node_id, user_id, wallet, currency, tenant, public_key, rate_card, price_micro_per_hour,"
    " interval_seconds, state, requested_at, active_at, charged_to)"
    " select 'alc_' || lpad(n\\:\\:text, 26, '0'), n, 'nod_' || lpad(n\\:\\:text, 26, '0'), u.id, u.payer,"
    " 'THB', 'tests', :key, 'mu-v1', 20000000, 60, 'active', :at, :at, :at"
    " from generate_series(1, :many) n join app_user u on u.payer = 'w' || n % :wallets",
    "insert into allocation_event (allocation_id, from_state, to_state, actor, reason) select id, was, become, 'tests', '' from allocation"
    " cross join (values (1, null, 'requested'), (2, 'requested', 'provisioning'), (3, 'provisioning', 'active')) e(step, was, become)"
    " order by id, step",
)


def test_no_wallet_goes_below_zero_and_charging_stops_within_one_interval(lab: Lab, record_property: Callable[[str, object], None]) -> None:
    """
    before   each of 20 wallets holds 1 THB; its ten nodes cost 3.33 THB a minute together
    meanwhile 1 THB comes to every second wallet, before or after its turn
    after    three nodes of a wallet were paid in full with 1 THB, a fourth in part; with 2 THB six and a seventh at most. The rest is over
    """
    lab.later(NOW, seconds=0)
    for number in range(WALLETS):
        lab.person(f"w{number}", "1")
    keys = [lab.provisioner.host_key(f"n{number}", 22).line for number in range(1, MANY + 1)]
    with lab.store.engine.begin() as connection:
        for statement in _FILL:
            connection.execute(sa.text(statement), {"many": MANY, "wallets": WALLETS, "at": NOW, "keys": keys, "key": keys[0]})
    lab.later(NOW, seconds=60)
    loops = [BillingLoop(lab.store, batch=30, clock=lambda: NOW + timedelta(seconds=60)) for _ in range(2)]

    with ThreadPoolExecutor(6) as pool:
        turns = [pool.submit(loop.turn) for loop in loops]
        tops = [pool.submit(lab.fill, f"w{number}", "1") for number in range(0, WALLETS, 2)]
        runs = [turn.result() for turn in turns]
        for top in tops:
            top.result()

    every = lab.store.read(lambda tx: tx.allocations.live())
    for number in range(WALLETS):
        held = parse_micro("1") * (1 if number % 2 else 2)
        charged = sum(one.charged_micro for one in every if one.wallet == f"w{number}")
        assert lab.balance(f"w{number}") == held - charged >= 0
        over = [one for one in every if one.wallet == f"w{number}" and one.state is AllocationState.STOPPING]
        assert len(over) >= 10 - 3 * held // parse_micro("1")
        assert all(one.stopped_at == one.charged_to and NOW <= one.stopped_at < NOW + timedelta(seconds=60) for one in over)
    ended = sum(run.depleted for run in runs if run)
    assert ended == sum(one.state is AllocationState.STOPPING for one in every) >= 10 * 7 + 10 * 4
    assert lab.store.read(lambda tx: len([job for job in tx.outbox.newest(1000) if job.kind == "node.release"])) == ended
    assert lab.broken() == {}

    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(Hands(lab, lab.provisioner).try_once) for _ in range(2)]:
            done.result()
    record_property("released_seconds", time.monotonic() - began)           # told, not judged: the aim is two minutes
    after = lab.store.read(lambda tx: tx.allocations.newest(MANY))
    assert sum(one.state is AllocationState.RELEASED for one in after) == ended
    assert lab.broken() == {}
