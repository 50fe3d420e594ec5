"""The demo centre: a believable year, the same for the same day, with books that add up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data import demo
from data.analytics import lake
from data.demo.centre import NotADemo
from data.demo.jobs import demo_usage
from data.demo.people import DEMO_USERS, MEMBERS
from data.passwords import matches
from data.postgres.store import Store
from data.settings import Settings
from engine.audit import verify
from engine.provisioning import Tenancy
from engine.ssh_keys import parse_public_key
from engine.usage import USAGE_SCHEMA
from tests.flows.examples import broken
from tests.pages.conftest import TODAY, Centre
from webhooks.provisioners import load_provisioner

DAY = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)


def test_the_same_day_draws_the_same_year() -> None:
    usage = demo_usage(DAY)
    assert usage.equals(demo_usage(DAY)) and dict(usage.schema) == USAGE_SCHEMA
    assert not usage.equals(demo_usage(DAY + timedelta(days=1)))


def test_a_few_thousand_jobs_of_a_dozen_people_in_four_groups() -> None:
    usage = demo_usage(DAY)
    assert 3500 <= len(usage) <= 4500 and usage["run_key"].n_unique() == len(usage)
    assert usage["user_name"].n_unique() == len(MEMBERS) == 12 and usage["account_name"].n_unique() == 4
    on_gpus = (usage["partition_name"] == "gpu").sum() / len(usage)
    assert 0.2 <= on_gpus <= 0.33
    assert {"COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "RUNNING", "PENDING"} <= set(usage["state"])
    assert usage["job_id"].str.contains("_").any()


@pytest.mark.parametrize("today", [datetime(2027, 3, 1, 0, 30, tzinfo=UTC), datetime(2028, 2, 29, 23, 59, tzinfo=UTC)])
def test_nothing_has_happened_after_today(today: datetime) -> None:
    usage, now = demo_usage(today), int(today.timestamp())
    assert usage["submit_at"].max() <= now and usage["end_at"].max() <= now     # type: ignore[operator]
    assert usage.filter(~usage["ended"])["end_at"].null_count() == (~usage["ended"]).sum()


def test_its_books_add_up(centre: Centre) -> None:
    assert broken(centre.store) == []
    anchors, keys = centre.store.anchors.read(), centre.store.audit_keys()
    found = centre.store.read(lambda tx: verify(tx.audit.chain(), tx.audit.head(), anchors, keys))
    assert found.first_bad is None and found.checked > 250
    assert lake.verify(centre.store) == []


def test_receipts_of_past_months_are_paid_pending_overdue_and_void(centre: Centre) -> None:
    receipts = centre.store.read(lambda tx: tx.receipts.all())
    pending = [receipt for receipt in receipts if receipt.status == "pending"]
    assert sum(receipt.status == "paid" for receipt in receipts) > 100
    assert sum(receipt.status == "void" for receipt in receipts) == 1
    assert len(pending) >= 3 and any(receipt.due_at < TODAY for receipt in pending)
    kinds = {kind for receipt in receipts for kind in centre.store.read(
        lambda tx, id=receipt.id: tx.receipts.lines(id))["kind"]}       # type: ignore[misc]
    assert kinds == {"usage", "adjustment"}


def test_money_went_in_and_out(centre: Centre) -> None:
    """Wallets with movements of past weeks, one shared, one change that waits; a receipt given back in part; every day on which money
    moved was compared and agreed, and none of them is so young that a sidecar would ask the provider again."""
    store = centre.store
    held = {wallet.owner: wallet.balance_micro // 1_000_000 for wallet in store.read(lambda tx: tx.wallets.all())}
    assert (held["researcher"], held["pi"], held["ananya.k"]) == (2000, 2000, 200)
    assert store.read(lambda tx: tx.wallets.projects())[0].members == ("pi", "researcher")
    assert [one.amount_micro for one in store.read(lambda tx: tx.wallets.adjustments("requested"))] == [2_500_000_000]
    statement = store.read(lambda tx: tx.wallets.statement("researcher", "THB"))
    assert [(TODAY - at).days for at in statement["at"]] == [12, 33, 62]
    ways = {payment.provider for payment in store.read(lambda tx: tx.payments.all(1000))}
    assert ways == {"manual", "wallet", "dummy"}
    [refund] = store.read(lambda tx: tx.refunds.newest())
    assert refund.status == "succeeded" and refund.reason.startswith("The node failed")
    runs = store.read(lambda tx: tx.reconciliation.latest())
    assert len(runs) >= 6 and {run.outcome for run in runs} == {"matched"} and all(run.movements for run in runs)
    assert max(run.day for run in runs) < (TODAY - timedelta(days=8)).date()


def test_nodes_were_held_for_a_month_and_are_now(centre: Centre) -> None:
    """Eight nodes at two sites, five of them in somebody's hands, paid to the last whole minute; what a project paid is what its
    wallet has less than was paid into it."""
    store = centre.store
    nodes, live = store.read(lambda tx: (tx.nodes.all(), tx.allocations.live()))
    assert len(nodes) == 8 and {node.site for node in nodes} == {"Salaya", "Bangkok"}
    assert sorted(one.holder for one in live) == ["m.jones", "researcher", "siriporn.t", "somchai.p", "w.nattapong"]
    assert all(TODAY - one.charged_to < timedelta(minutes=1) for one in live if one.charged_to)
    everything = store.read(lambda tx: tx.allocations.newest(1000))
    assert len(everything) > 100 and {str(one.state) for one in everything} == {"active", "released"}
    paid = sum(one.charged_micro for one in everything if one.wallet == "project:ai-lab")
    assert store.read(lambda tx: tx.wallets.get("project:ai-lab", "THB").balance_micro) == 5000 * 1_000_000 - paid
    assert all(store.read(lambda tx, id=one.id: tx.node_reads.load_of(id, TODAY - timedelta(hours=1), 300)).height     # type: ignore[misc]
               for one in live)


def test_the_nodes_that_are_not_there_hold_what_the_books_say(centre: Centre) -> None:
    """A sidecar that looks finds everybody's mark and key: nothing to repair."""
    provisioner = load_provisioner(centre.settings)
    assert provisioner is not None
    nodes, live = centre.store.read(lambda tx: ({node.id: node for node in tx.nodes.all()}, tx.allocations.live()))
    for one in live:
        [holding] = provisioner.inspect(nodes[one.node_id].address)
        assert holding.fits(Tenancy(one.id, one.tenant, parse_public_key(one.public_key)))


def test_it_loads_quickly_and_only_once(centre: Centre) -> None:
    assert centre.seconds < 20                      # of this process's own time: 6 s on two cores, however busy they are
    before = centre.store.read(lambda tx: tx.audit.head())
    assert demo.load(centre.store) is DEMO_USERS
    assert centre.store.read(lambda tx: tx.audit.head()) == before


def test_everybody_signs_in_with_the_printed_password(centre: Centre) -> None:
    for name, password, _ in DEMO_USERS.rows():
        person = centre.person(name)
        assert matches(password, centre.store.read(lambda tx, id=person.id: tx.users.password_hash(id)))    # type: ignore[misc]
    assert centre.person("pi").projects == ("ai-lab", "genomics")


def test_production_is_no_place_for_it(store: Store, tmp_path: Path) -> None:
    settings = Settings(env="production", home=tmp_path, database_url="postgresql://x/y", audit_key="k" * 40,
                        payment_provider="", dummy_webhook_secret="s" * 40)
    with pytest.raises(NotADemo):
        demo.load(Store(store.engine, settings))
