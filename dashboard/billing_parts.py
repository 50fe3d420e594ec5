"""Parts of the billing page: making receipts for many in one go, and settling, reverting or voiding one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl
import streamlit as st

from dashboard import access, actions, tables, words
from dashboard.confirm import reason_form, yes_form
from dashboard.connection import store
from dashboard.words import count, money, plain
from data.postgres.store import PostgresTransaction
from engine.errors import DomainError
from engine.receipts import Receipt
from engine.services.receipts import create_receipt, mark_paid, revert_paid, void_receipt
from engine.users import Person

RESULTS = "billing_results"


@dataclass(frozen=True, slots=True)
class Made:
    """What became of one payer's bill: a receipt, or the sentence it was refused with."""

    payer: str
    receipt: Receipt | None
    refusal: str = ""


def bill(payers: list[str], before: datetime, by: Person, told: Callable[[int, str], None]) -> list[Made]:
    """One receipt a payer, each in a transaction of its own: one that is refused keeps no other back.

    `told(number, payer)` hears before each. Asked twice, the second finds nothing to bill."""
    made = []
    for number, payer in enumerate(payers):
        told(number, payer)
        made.append(_bill_one(payer, before, by))
    return made


def _bill_one(payer: str, before: datetime, by: Person) -> Made:
    try:
        return Made(payer, store().run(lambda tx: create_receipt(tx, payer, before, by), actor=by.name))
    except DomainError as refusal:
        return Made(payer, None, refusal.sentence)


@st.dialog("Create receipts?", icon=":material/receipt_long:")
def ask_receipts(queue: pl.DataFrame, before: datetime, upto: date, currency: str) -> None:
    """Say who is billed what, then do it with progress; the page shows what came of it."""
    by, names = access.me(), queue["payer"].unique(maintain_order=True).to_list()
    total = int(queue["due_micro"].sum())
    who = plain(names[0]) if len(names) == 1 else count(len(names), "payer")
    st.markdown(f"{who} will owe **{money(total, currency)}** for {count(int((queue['jobs'] + queue['adjustments']).sum()), 'job')}"
                f" that ended up to {words.day(upto)}. Prices, tier and tax are locked, numbers are given, and an issued receipt"
                " never changes: what is wrong is voided or corrected on the next one.")
    if before > datetime.now(before.tzinfo):
        st.markdown(":orange[:material/schedule: Today is not over: jobs that end later today go on the next receipt.]")
    if yes_form("receipts", "Create receipt" if len(names) == 1 else f"Create {len(names)} receipts", "Not now"):
        bar = st.progress(0.0, " ")
        st.session_state[RESULTS] = bill(names, before, by, lambda number, payer: bar.progress(
            number / len(names), f"{number + 1} of {len(names)}: {plain(payer)}") and None)
        st.rerun()


def show_results() -> None:
    """What the last run of receipts brought, until it is put away."""
    made: list[Made] = st.session_state.get(RESULTS, [])
    if not made:
        return
    issued = [one.receipt for one in made if one.receipt]
    with tables.card("Receipts created", f"{len(issued)} of {len(made)}"):
        tables.table(
            pl.DataFrame({
                "payer": [one.payer for one in made], "number": [one.receipt.number if one.receipt else None for one in made],
                "lines": [one.receipt.lines if one.receipt else None for one in made],
                "total": [one.receipt.total_micro / 1e6 if one.receipt else None for one in made],
                "state": [tables.pill(str(one.receipt.status) if one.receipt else "refused") for one in made],
                "why": [one.refusal for one in made]},
                schema={"payer": pl.String, "number": pl.String, "lines": pl.Int64, "total": pl.Float64, "state": pl.List(pl.String),
                        "why": pl.String}),
            {"payer": tables.text_column("Payer", 140), "number": tables.text_column("Receipt", 140),
             "why": tables.text_column("Why not", 390), "lines": tables.number_column("Jobs", 70),
             "total": tables.money_column(f"Total, {issued[0].currency}" if issued else "Total", 120),
             "state": tables.state_column("State", 100)}, key="made", alt="Receipts that were created")
        if st.button("Put away", key="put_away"):
            del st.session_state[RESULTS]
            st.rerun()


def ask_settle(verb: str, receipt_id: str, number: str, payer: str, amount: str) -> None:
    """Open the dialog for `mark paid`, `revert` or `void`."""
    titles = {"mark paid": f"Mark {number} paid?", "revert": f"Revert the payment of {number}?", "void": f"Void {number}?"}
    icons = {"mark paid": ":material/payments:", "revert": ":material/undo:", "void": ":material/block:"}
    st.dialog(titles[verb], icon=icons[verb])(_settle)(verb, receipt_id, number, plain(payer), amount)


def _settle(verb: str, receipt_id: str, number: str, payer: str, amount: str) -> None:
    by = access.me()
    calls: dict[str, Callable[[PostgresTransaction, str, str, Person], Any]] = {
        "mark paid": mark_paid, "revert": revert_paid, "void": void_receipt}
    told = {
        "mark paid": f"{payer} owes nothing more on this receipt: {amount} counts as received outside of any provider."
                     " The reason says how it was paid.",
        "revert": f"{payer} owes {amount} again. Only payments that were entered by hand can be reverted; others are refunded.",
        "void": f"{payer} no longer owes {amount}. The receipt keeps its number and its lines; its jobs are unbilled again."}
    st.markdown(told[verb])
    labels = {"mark paid": ("Mark paid", "Keep open"), "revert": ("Revert payment", "Keep paid"), "void": ("Void receipt", "Keep receipt")}
    hint = {"mark paid": "Bank transfer of 12 Nov, reference 4711", "revert": "", "void": ""}[verb]
    reason = reason_form(f"settle_{receipt_id}", *labels[verb], placeholder=hint)
    done = {"mark paid": f"{number} is paid.", "revert": f"{number} is open again.", "void": f"{number} is void."}[verb]
    if reason and actions.act(lambda tx: calls[verb](tx, receipt_id, reason, by), f"settle_{receipt_id}", done=done).ok:
        st.rerun()
