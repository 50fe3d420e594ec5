"""What the billing loop reckons in SQL is what engine.allocations says, whatever is due and whatever the wallets hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.allocations import Allocation, AllocationState, affordable_seconds, charged_after
from engine.ids import new_id
from engine.ledger import Kind, LedgerName, Posting, balanced
from tests.allocations.conftest import Lab
from webhooks.billing_loop import BillingLoop

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
MOST = 6
PRICES = st.one_of(st.integers(0, 100), st.integers(1, 10**6), st.integers(10**6, 10**12))
RENTED = st.tuples(PRICES, st.sampled_from([1, 7, 60, 3600]), st.integers(0, 200_000), st.sampled_from(["w0", "w1"]))
_numbers = count(1)
_ACTIVE = """
insert into allocation (id, request_key, node_id, user_id, wallet, currency, tenant, public_key, rate_card, price_micro_per_hour,
                        interval_seconds, state, active_at, charged_to)
select cast(:id as text), cast(:id as text), (select id from node where name = :node),
       (select id from app_user where name = 'alice'), :wallet, 'THB', 'alice',
       'ssh-ed25519 AAAA', 'mu-v1', :price, :interval, 'active', :since, :since"""
_HISTORY = """
insert into allocation_event (allocation_id, from_state, to_state, actor, reason)
select :id, was, become, 'tests', ''
from (values (null, 'requested'), ('requested', 'provisioning'), ('provisioning', 'active')) e(was, become)"""


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rented=st.lists(RENTED, min_size=1, max_size=MOST), money=st.tuples(st.integers(0, 10**9), st.integers(0, 10**12)))
def test_sql_and_python_agree(lab: Lab, rented: list[tuple[int, int, int, str]], money: tuple[int, int]) -> None:
    """Some nodes on two wallets; each is charged its whole intervals in the order of the allocations, as far as its wallet goes."""
    lab.later(NOW, seconds=0)
    _empty(lab)
    before = [_rented(lab, number, *one) for number, one in enumerate(rented)]
    wallets = dict(zip(("w0", "w1"), money, strict=True))
    for wallet, micro in wallets.items():
        _hold(lab, wallet, micro)
    expected = _model(before, dict(wallets))

    BillingLoop(lab.store, clock=lambda: NOW).turn()

    after = [lab.see(one) for one in before]
    assert [(one.charged_to, one.billed_seconds, one.charged_micro, one.state) for one in after] == expected
    for wallet, micro in wallets.items():
        assert lab.balance(wallet) == micro - sum(one.charged_micro for one in after if one.wallet == wallet) >= 0


def _model(before: list[Allocation], wallets: dict[str, int]) -> list[tuple[datetime, int, int, AllocationState]]:
    """In plain Python."""
    after = []
    for one in before:
        assert one.charged_to is not None
        due = int((NOW - one.charged_to).total_seconds()) // one.interval_seconds * one.interval_seconds
        full = charged_after(due, one.price_micro_per_hour)
        most = affordable_seconds(one, wallets[one.wallet])
        seconds = due if most is None else min(due, most)
        state = AllocationState.STOPPING if full > wallets[one.wallet] else AllocationState.ACTIVE
        wallets[one.wallet] = max(0, wallets[one.wallet] - full)
        after.append((one.charged_to + timedelta(seconds=seconds), seconds, charged_after(seconds, one.price_micro_per_hour), state))
    return after


def _rented(lab: Lab, number: int, price: int, interval: int, gone: int, wallet: str) -> Allocation:
    """An allocation that began `gone` seconds ago on a node of its own."""
    node = f"n{number}"
    if lab.store.read(lambda tx: tx.nodes.get(node)) is None:
        lab.node(node)
    if lab.store.read(lambda tx: tx.users.by_name("alice")) is None:
        lab.person("alice")
    with lab.store.engine.begin() as connection:
        words = {"id": f"alc_{next(_numbers):026}", "node": node, "wallet": wallet, "price": price, "interval": interval,
                 "since": NOW - timedelta(seconds=gone)}
        connection.execute(sa.text(_ACTIVE), words)
        connection.execute(sa.text(_HISTORY), words)
    found = lab.store.read(lambda tx: tx.allocations.get(str(words["id"])))
    assert found is not None
    return found


def _hold(lab: Lab, wallet: str, micro: int) -> None:
    """Have a wallet hold exactly that."""
    name = LedgerName(Kind.WALLET, wallet, "THB")
    gone = micro - lab.balance(wallet)
    if gone:
        lab.run(lambda tx: tx.ledger.post(new_id("test", 0), "", balanced([
            Posting(name, -gone), Posting(LedgerName(Kind.ADJUSTMENT, "", "THB"), gone)])))


def _empty(lab: Lab) -> None:
    """Forget the example before: only a test can."""
    with lab.store.engine.begin() as connection:
        connection.execute(sa.text("set local session_replication_role = replica"))
        for table in ("allocation_charge", "allocation_event", "notice", "runway_warning", "outbox", "allocation"):
            connection.execute(sa.text(f"delete from {table}"))
