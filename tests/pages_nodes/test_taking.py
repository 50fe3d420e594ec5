"""Somebody takes a node on the page: what it says before, what it makes, and where the private key is not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa

from data.ssh_keys import new_key_pair
from engine.allocations import AllocationState
from engine.policy import OPERATOR
from engine.services import users
from engine.services.allocations import request_allocation
from engine.users import Role
from tests.allocations.conftest import Lab
from tests.pages_nodes.conftest import Visit, do_jobs, press, said


def test_the_catalogue_prices_nodes_for_the_wallet(visit: Visit, lab: Lab) -> None:
    """Four GPUs at 5 THB: 20.00 an hour; the cheapest first; what somebody holds cannot be taken, and says nothing of them."""
    for name in ("a100-1", "l40s-2", "rtx4090-1"):
        lab.node(name)
    alice, bob = lab.person("alice", "100"), lab.person("bob", "100")
    lab.active(bob, "a100-1")
    page = visit("nodes", alice)
    shown = said(page)
    assert not page.exception, page.exception
    assert "Free: 2 of 3 (1 allocated)" in shown and "Mine: 0" in shown
    assert shown.index("rtx4090") < shown.index("a100-1") and "**10.00**" in shown and "**20.00**" in shown
    assert "bob" not in shown
    assert [button.disabled for button in page.button if button.label == "Take…"] == [False, True, False]
    assert "l40s" not in said(visit("nodes", alice, model="a100")).split("cheapest first")[1]
    assert "No node fits" in said(visit("nodes", alice, q="no such node"))


def test_two_clicks_take_a_node_with_a_new_key_that_is_kept_nowhere(visit: Visit, lab: Lab) -> None:
    """Its private half is in the session while the dialog shows it, never in the database, and gone with the dialog."""
    node = lab.node("a100-1")
    alice = lab.person("alice", "100")
    page = visit("nodes", alice)
    page = page.button(key=f"take_{node.id}").click().run()
    words = said(page)
    assert "20.00 THB" in words and "100.00 THB" in words and "in 5 h 00 m" in words
    page = press(page, "Take node")
    assert not page.exception and not page.error, page.error
    [taken] = lab.store.read(lambda tx: tx.allocations.live())
    pair = page.session_state["dialog_secret"]
    assert (taken.holder, taken.state, taken.public_key) == ("alice", AllocationState.REQUESTED, pair.public.line)
    assert "chmod 600 corehours-a100-1" in said(page) and "PRIVATE" not in said(page)
    assert not _somewhere(lab, "PRIVATE KEY") and not _somewhere(lab, pair.private.splitlines()[2])
    page = press(page, "I have the key")
    assert "dialog_secret" not in page.session_state and "dialog" not in page.session_state
    assert ("Mine: 1" in said(page) and "being set up" in said(page)) or "asked for" in said(page)


def test_what_runs_shows_how_to_log_in_and_how_long_the_wallet_lasts(visit: Visit, lab: Lab) -> None:
    lab.node("a100-1")
    alice = lab.person("alice", "100")
    taken = lab.request(alice, "a100-1")
    do_jobs(lab)
    began = lab.see(taken).active_at
    assert began is not None
    lab.later(began, seconds=0)
    page = visit("nodes", alice)
    assert "ssh alice@a100-1.example" in said(page) and "Wallet lasts: 5 h 00 m" in said(page)
    page = visit("allocation", alice, id=taken.id)
    shown = said(page)
    assert not page.exception and "Make the user, closed" in shown and "SHA256:" in shown and taken.id in shown
    assert "No such allocation" in said(visit("allocation", lab.person("bob"), id=taken.id))


def test_releasing_asks_first_and_charges_to_this_second(visit: Visit, lab: Lab) -> None:
    lab.node("a100-1")
    alice = lab.person("alice", "100")
    taken = lab.active(alice, "a100-1")
    assert taken.active_at is not None
    lab.later(taken.active_at, minutes=30)
    page = visit("nodes", alice)
    page = page.button(key=f"release_{taken.id}").click().run()
    assert "Charging stops with this second" in said(page)
    kept = press(page, "Keep it")
    assert lab.see(taken).state is AllocationState.ACTIVE and "dialog" not in kept.session_state
    page = kept.button(key=f"release_{taken.id}").click().run()
    page = press(page, "Release node")
    assert (lab.see(taken).state, lab.see(taken).charged_micro) == (AllocationState.STOPPING, 10_000_000)
    do_jobs(lab)
    page = visit("allocation", alice, id=taken.id)
    assert "10.00 THB for 0.50 hours" in said(page) and "'cost': [10.0]" in said(page)
    assert lab.broken() == {}


def test_a_pasted_key_that_is_none_is_refused_in_the_dialog(visit: Visit, lab: Lab) -> None:
    node = lab.node("a100-1")
    page = visit("nodes", lab.person("alice", "100"))
    page = page.button(key=f"take_{node.id}").click().run()
    page = page.segmented_control(key="take_key").set_value("Paste my key").run()
    page.text_area(key="take_typed").set_value("ssh-ed25519 AAAA; rm -rf /")
    page = press(page, "Take node")
    assert page.error and "Nothing was changed" in said(page)
    assert lab.store.read(lambda tx: tx.allocations.live()) == []


def test_two_clicks_at_once_are_one_allocation_for_both(lab: Lab) -> None:
    """The second waits for the first at the node and finds what it made."""
    lab.node("a100-1")
    alice, key = lab.person("alice", "100"), new_key_pair().public.line
    with ThreadPoolExecutor(2) as clicks:
        made = [click.result().id for click in [clicks.submit(
            lambda: lab.run(lambda tx: request_allocation(tx, "a100-1", key, "alice", alice, "one form"))) for _ in range(2)]]
    assert len(set(made)) == 1


def test_who_only_reads_takes_nothing(visit: Visit, lab: Lab) -> None:
    lab.node("a100-1")
    page = visit("nodes", lab.person("reader1", role=Role.AUDITOR))
    assert [button.disabled for button in page.button if button.label == "Take…"] == [True]


def test_who_has_no_wallet_sees_prices_and_is_refused(visit: Visit, lab: Lab) -> None:
    """Somebody who is billed as a project whose wallet they do not share."""
    node = lab.node("a100-1")
    lab.run(lambda tx: users.add(tx, "guest", Role.RESEARCHER, "no password", "project:x", by=OPERATOR))
    guest = lab.store.read(lambda tx: tx.users.by_name("guest"))
    assert guest is not None
    page = visit("nodes", guest)
    assert not page.exception and "20.00" in said(page)
    page = press(page.button(key=f"take_{node.id}").click().run(), "Take node")
    assert "is not yours to use. Nothing was changed." in said(page) and lab.store.read(lambda tx: tx.allocations.live()) == []


def _somewhere(lab: Lab, text: str) -> bool:
    """Whether any row of any table holds that text."""
    with lab.store.engine.connect() as connection:
        tables = connection.execute(sa.text("select quote_ident(tablename) from pg_tables where schemaname = 'public'")).scalars().all()
        return any(connection.execute(sa.text(f"select exists (select 1 from {table} t where cast(t as text) like '%' || :text || '%')"),
                                      {"text": text}).scalar_one() for table in tables)
