"""The billing loop's page, and what people were told."""

from __future__ import annotations

from engine.notices import NoticeKind, about_allocation
from engine.services.allocations import release_allocation
from engine.services.billing import stop_billing
from engine.services.notices import tell
from engine.users import Role
from tests.allocations.conftest import Lab
from tests.pages_nodes.conftest import Visit, press, said
from webhooks.billing_loop import BillingLoop


def test_a_stopped_loop_says_why_and_an_admin_lets_it_go_on(visit: Visit, lab: Lab) -> None:
    lab.run(lambda tx: stop_billing(tx, "The site's clock jumped by 3600 s."))
    auditor, admin = lab.person("reader1", role=Role.AUDITOR), lab.person("root1", role=Role.ADMIN)
    page = visit("billing_loop", auditor)
    assert "jumped by 3600 s" in said(page) and not [one for one in page.button if one.label == "Let it go on…"]
    page = press(visit("billing_loop", admin), "Let it go on…")
    page.text_input(key="reason_resume_text").set_value("the time server is back")
    page = press(page, "Let it go on")
    assert not page.exception and lab.store.read(lambda tx: tx.billing.loop()).running
    assert "Stopped since" not in said(page)


def test_its_turns_stand_there_with_what_they_charged(visit: Visit, lab: Lab) -> None:
    """An hour of one node at 20 THB in one turn."""
    lab.node("a100-1")
    taken = lab.active(lab.person("alice", "100"), "a100-1")
    assert taken.active_at is not None
    lab.later(taken.active_at, hours=1)
    assert BillingLoop(lab.store, clock=lambda: lab.store.read(lambda tx: tx.now)).turn() is not None
    page = visit("billing_loop", lab.person("money1", role=Role.FINANCE))
    shown = said(page)
    assert not page.exception and "'total': ['20.00 THB']" in shown and "'lag': [3600]" in shown and "Behind: 0 s" in shown


def test_notices_are_new_until_they_were_seen(visit: Visit, lab: Lab) -> None:
    lab.node("a100-1")
    alice = lab.person("alice", "100")
    taken = lab.active(alice, "a100-1")
    lab.run(lambda tx: tell(tx, alice.id, NoticeKind.READY, about_allocation(taken.id),
                            {"node": "a100-1", "host": "a100-1.example", "port": 22, "tenant": "alice"}))
    page = visit("notifications", alice)
    assert "1 new" in said(page) and "a100-1 is ready" in said(page)
    page = press(page, "Mark all seen")
    assert "nothing new" in said(page) and not lab.store.read(lambda tx: tx.notices.of_user(alice.id, unseen=True))
    assert "Nobody told you anything yet" in said(visit("notifications", lab.person("bob")))


def test_what_happened_to_a_node_is_in_the_audit_in_words(visit: Visit, lab: Lab) -> None:
    lab.node("a100-1")
    alice = lab.person("alice", "100")
    taken = lab.active(alice, "a100-1")
    assert taken.active_at is not None
    lab.later(taken.active_at, minutes=30)
    lab.run(lambda tx: release_allocation(tx, taken.id, alice))
    shown = said(visit("audit", lab.person("reader1", role=Role.AUDITOR)))
    for words in ("Node a100-1 added: 4 × NVIDIA A100", "Node a100-1 is available (was maintenance): it was tested",
                  "Node a100-1 asked for, paid by alice, at 20.00 THB an hour", "Allocation over, charged 10.00 THB in all"):
        assert words in shown, words
