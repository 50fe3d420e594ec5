"""Quote: what a job would cost before it runs, step by step, when it would be cheaper, and what one owes already, and
whether a wallet covers it.
"""

from __future__ import annotations

import streamlit as st

from dashboard import quote_parts, reads_quotes, tables
from dashboard.access import require
from dashboard.wallet_parts import whose
from dashboard.words import plain
from engine.errors import DomainError
from engine.services.quotes import Quoted
from engine.users import Action, Person


def show(person: Person) -> None:
    """The page from top to bottom."""
    choices = reads_quotes.choices(person)
    tables.page_head("Quote", f"What a job would cost before it runs · {plain(choices.payer)}")
    left, right = st.columns([1, 1.75])
    with right:
        place = st.container()
    try:
        with left, tables.card("The job", height="content"):
            tier = quote_parts.tier_choice(choices)
            options = quote_parts.form(choices)
        found = reads_quotes.quoted(person, quote_parts.read(options, choices), tier) if options else None
    except DomainError as refusal:
        with place:
            quote_parts.refuse(refusal.sentence)
        return
    with place:
        answer(found)
    if found and found.owing:
        with left, tables.card("Already owed", plain(found.owing.payer), "content"):
            quote_parts.owing(found.owing)
    for one in found.wallets if found else ():
        with left, tables.card("Wallet", plain(whose(one.cover.wallet.owner)), "content"):
            quote_parts.covered(one)


def answer(found: Quoted | None) -> None:
    """The price, what is cheaper, and what the price does not know."""
    if found is None:
        quote_parts.nothing_yet()
        return
    made, currency = found.quote, found.quote.card.currency
    with tables.card("The price", f"tier {plain(made.tier)} · {currency}", "content"):
        quote_parts.price(made)
    with tables.card("Cheaper", f"{currency}, by the same prices", "content"):
        quote_parts.cheaper(made)
    if made.curve:
        with tables.card("When it starts", f"{currency}, by start within seven days; the dot is the start above", "content"):
            quote_parts.by_start(made)
    quote_parts.notes(made)


show(require(Action.SEE_OWN))
