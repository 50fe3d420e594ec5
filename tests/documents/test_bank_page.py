"""The page of bank statements: who gets in, what it says, what is offered to whom."""

from __future__ import annotations

from datetime import date

import pytest

from data.postgres.store import Store
from engine.bank import NewLine
from engine.policy import OPERATOR
from engine.services.bank import bring_one, set_aside
from engine.users import Role
from tests.documents.test_bank import asked
from tests.pages_operations.conftest import Visit, said, visit  # noqa: F401  a fixture


def busy(store: Store) -> str:
    """A line that names a payment, one of a joker, one that was set aside; the payment's reference."""
    reference = asked(store).reference
    for text in (f"alice {reference}", "[x](http://evil) =cmd()", "interest"):
        store.run(lambda tx, text=text: bring_one(tx, NewLine(date(2026, 11, 27), 60_600_000, "THB", text), OPERATOR))
    last = store.read(lambda tx: tx.bank.listed("", "interest")[0].id)
    store.run(lambda tx: set_aside(tx, last, "interest of the bank", OPERATOR))
    return reference


@pytest.mark.parametrize("full", [False, True])
def test_who_reads_it_and_who_may_act(visit: Visit, store: Store, full: bool) -> None:    # noqa: F811
    reference = busy(store) if full else ""
    refused = visit("bank", Role.RESEARCHER)
    assert not refused.exception and not refused.metric and "not for your role" in said(refused)
    for role in (Role.FINANCE, Role.AUDITOR):
        page = visit("bank", role)
        assert not page.exception, page.exception
        offered = [button.label for button in page.button if button.label.endswith("…")]
        assert offered == (["Say whose it is…", "Set aside…"] if role is Role.FINANCE and full else [])
        if full:
            assert "Waiting: 121.20 THB (2 lines)" in said(page) and reference in said(page)
            assert not any("](http" in element.value for element in page.markdown)
