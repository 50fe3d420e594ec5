"""Add funds to a wallet, and the page a payer comes back to: it shows what the books say and follows by itself."""

from __future__ import annotations

import streamlit as st

from dashboard import reads_wallets, tables, wallet_parts, words
from dashboard.access import require
from engine.errors import DomainError
from engine.users import Action, Person


def show(person: Person) -> None:
    """A form, or where a started top-up stands."""
    reference = st.query_params.get("payment", "")
    try:
        if reference:
            followed(person, reference)
        else:
            start(person, st.query_params.get("owner", "") or person.payer)
    except DomainError:
        tables.page_head("Add funds")
        tables.nothing_here("account_balance_wallet", "No such top-up" if reference else "No such wallet",
                            "It does not exist, or it is not yours to see.", wallet_parts.to_wallet)


def start(person: Person, owner: str) -> None:
    """Choose an amount."""
    page = reads_wallets.page(person, owner, "")
    tables.page_head("Add funds", f"to the wallet of {words.plain(wallet_parts.whose(owner))} · it holds "
                     f"{words.money(page.wallet.balance_micro, page.wallet.currency)}")
    if not page.may_use:
        tables.nothing_here("lock", "This wallet is not yours to fill", "Its owner and those who share it can.", wallet_parts.to_wallet)
        return
    wide, _ = st.columns([1.4, 1])
    with wide, tables.card("Amount", height="content", key="amount_card"):
        wallet_parts.top_up(person, owner)
    wallet_parts.to_wallet()


def followed(person: Person, reference: str) -> None:
    """The true state of a top-up."""
    payment, _, _ = reads_wallets.topup(person, reference)
    tables.page_head("Add funds", f"to the wallet of {words.plain(wallet_parts.whose(payment.wallet))} · started "
                     f"{words.moment(payment.created_at)} by {words.plain(payment.created_by)}")
    wide, _ = st.columns([1.4, 1])
    with wide:
        wallet_parts.standing(reference)
    wallet_parts.to_wallet()


show(require(Action.SEE_OWN))
