"""Parts of the billing page: making receipts for many in one go, and settling, reverting or voiding one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl
import streamlit as st

from dashboard import access, actions, charts, tables, words
from dashboard.confirm import reason_form, yes_form
from dashboard.connection import store
from dashboard.finance_parts import age_colours
from dashboard.navigation import page_of
from dashboard.reads_finance import Billing
from dashboard.words import count, money, plain
from data.postgres.store import PostgresTransaction
from engine.errors import DomainError
from engine.receipts import Receipt
from engine.services.receipts import create_receipt, mark_paid, revert_paid, void_receipt
from engine.users import Action, Person

RESULTS = "billing_results"
OFFERED = {"open": [("mark paid", "Mark paid…", "payments", Action.SETTLE), ("void", "Void…", "block", Action.VOID)],
           "settled": [("revert", "Revert payment…", "undo", Action.SETTLE)]}


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


def queue_table(queue: pl.DataFrame, now: datetime, currency: str, key: str, select: bool) -> list[str]:
    """Payers with what is to be billed; the answer is the names of those selected."""
    least = {"minimum": tables.money_column(f"Minimums, {currency}", 120)} if queue["months"].sum() else {}
    rows = queue.select(
        "payer", "tier", "jobs", "adjustments", minimum=pl.col("minimum_micro") / 1e6,
        oldest=pl.Series([words.day(end, now) for end in queue["oldest_end"]]),
        usage=pl.col("usage_micro") / 1e6, corrections=pl.col("adjustment_micro") / 1e6, due=pl.col("due_micro") / 1e6)
    picked = tables.table(
        rows.select(pl.all() if least else pl.exclude("minimum")),
        {"payer": tables.text_column("Payer", 150 if least else 190), "tier": tables.text_column("Tier", 90),
               "oldest": tables.text_column("Oldest job", 110), "jobs": tables.number_column("Jobs", 80),
               "adjustments": tables.number_column("Corrected", 90), "usage": tables.money_column(f"New, {currency}", 110),
               "corrections": tables.money_column(f"Corrections, {currency}", 130), **least,
               "due": tables.money_column(f"To bill, {currency}", 120)},
        key=tables.key_of(key, queue["payer"]), select="multi-row" if select else "", alt="Payers with unbilled jobs")
    return [queue["payer"][row] for row in picked]


@st.dialog("Create receipts?", icon=":material/receipt_long:")
def ask_receipts(queue: pl.DataFrame, before: datetime, upto: date, now: datetime) -> None:
    """Say who is billed what, then do it with progress; the page shows what came of it."""
    by, names = access.me(), queue["payer"].unique(maintain_order=True).to_list()
    sums = queue.group_by("currency", maintain_order=True).agg(pl.col("due_micro").sum()).iter_rows()
    total = " and ".join(f"**{money(micro, currency)}**" for currency, micro in sums)
    who = plain(names[0]) if len(names) == 1 else count(len(names), "payer")
    jobs, months = int((queue["jobs"] + queue["adjustments"]).sum()), int(queue["months"].sum())
    what = [f"{count(jobs, 'job')} that ended up to {words.day(upto)}"] if jobs or not months else []
    what += [f"{count(months, 'month')} short of a minimum"] if months else []
    st.markdown(f"{who} will owe {total} for {' and '.join(what)}, tax aside. Prices, tier and"
                " tax are locked and numbers are given. An issued receipt never changes: what is wrong is voided, or corrected"
                " on the next one.")
    if before > now:
        st.markdown(":orange[:material/schedule: That day is not over: jobs that end later go on the next receipt.]")
    if yes_form("receipts", "Create receipt" if len(names) == 1 else f"Create {len(names)} receipts", "Not now"):
        bar = st.progress(0.0, " ")

        def told(number: int, payer: str) -> None:
            bar.progress(number / len(names), f"{number + 1} of {len(names)}: {plain(payer)}")
        st.session_state[RESULTS] = bill(names, before, by, told)
        st.rerun()


def show_results() -> None:
    """What the last run of receipts brought, until it is put away."""
    made: list[Made] = st.session_state.get(RESULTS, [])
    if not made:
        return
    issued = [one.receipt for one in made if one.receipt]
    with tables.card("Receipts created", f"{len(issued)} of {len(made)}", height="content"):
        rows = [(one.payer, one.receipt.number if one.receipt else None, one.refusal, one.receipt.lines if one.receipt else None,
                 one.receipt.total_micro / 1e6 if one.receipt else None, one.receipt.currency if one.receipt else "",
                 tables.pill(str(one.receipt.status) if one.receipt else "refused")) for one in made]
        tables.table(
            pl.DataFrame(rows, orient="row", schema={
                "payer": pl.String, "number": pl.String, "why": pl.String, "lines": pl.Int64, "total": pl.Float64,
                "currency": pl.String, "state": pl.List(pl.String)}),
            {"payer": tables.text_column("Payer", 140), "number": tables.text_column("Receipt", 140),
             **({"why": tables.text_column("Why not", 370)} if len(issued) < len(made) else {}),
             "lines": tables.number_column("Jobs", 70),
             "total": tables.money_column("Total", 110), "currency": tables.text_column("", 56),
             "state": tables.state_column("State", 96, ["pending", "paid", "refused"])}, key="made", alt="Receipts created")
        if st.button("Put away", key="put_away"):
            del st.session_state[RESULTS]
            st.rerun()


@dataclass(frozen=True, slots=True)
class Listed:
    """A receipt in the list: open ones have a due day, the others the day they were settled or voided."""

    id: str
    number: str
    payer: str
    day: datetime
    state: str
    total_micro: int
    currency: str


def receipts(page: Billing, person: Person) -> None:
    """Open receipts by age, or those that are settled, with what can be done to one."""
    left, right = st.columns([1.9, 1])
    with right, tables.card("Receivable by age", f"{page.currency}, days past due"):
        charts.ranking(page.ages["age"].to_list(), page.ages["total_micro"].to_list(), "open_ages", colours=age_colours(),
                       height=220, alt="Open receipts by days past due")
    with left, tables.card("Receipts"):
        shown = st.segmented_control("Which receipts", ["open", "settled"], default="open", required=True, key="which",
                                     label_visibility="collapsed", format_func=lambda word: _tab(word, len(page.open)))
        rows = _open(page) if shown == "open" else _settled(page)
        if not rows:
            st.markdown(":gray[No receipt waits for money.]" if shown == "open" else ":gray[None yet.]")
            return
        picked = _receipts_table(rows, page.now, shown)
        _receipt_actions(rows[picked[0]] if picked else None, shown, person)


def _tab(word: str, number: int) -> str:
    return f"Open {number}" if word == "open" else "Settled and void"


def _open(page: Billing) -> list[Listed]:
    return [Listed(row["id"], row["number"], row["payer"], row["due_at"], "pending" if row["age"] == "not due" else "overdue",
                   row["total_micro"], row["currency"]) for row in page.open.iter_rows(named=True)]


def _settled(page: Billing) -> list[Listed]:
    return [Listed(one.id, one.number, one.payer, one.paid_at or one.issued_at, str(one.status), one.total_micro, one.currency)
            for one in page.settled]


def _receipts_table(rows: list[Listed], now: datetime, shown: str) -> list[int]:
    return tables.table(
        pl.DataFrame({"number": [row.number for row in rows], "payer": [row.payer for row in rows],
                      "day": [words.day(row.day, now) for row in rows], "total": [row.total_micro / 1e6 for row in rows],
                      "currency": [row.currency for row in rows], "state": [tables.pill(row.state) for row in rows]}),
        {"number": tables.text_column("Receipt", 136), "payer": tables.text_column("Payer", 130),
         "day": tables.text_column("Due" if shown == "open" else "Settled", 90), "total": tables.money_column("Total", 100),
         "currency": tables.text_column("", 50), "state": tables.state_column("State", 96)},
        key=tables.key_of(f"receipts_{shown}", (row.number for row in rows)), select="single-row", alt="Receipts",
        height=9 * tables.ROW_HEIGHT)


def _receipt_actions(row: Listed | None, shown: str, person: Person) -> None:
    """The buttons under the list; disabled until a receipt is selected that they fit."""
    offered = OFFERED[shown]
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Open", icon=":material/open_in_new:", disabled=row is None, key="open") and row:
            st.switch_page(page_of("receipt"), query_params={"id": row.number})
        pressed = [verb for verb, label, icon, needs in offered if person.may(needs) and st.button(
            label, icon=f":material/{icon}:", key=verb, disabled=row is None or (verb == "revert" and row.state != "paid"))]
        st.markdown(f"**{row.number}** :gray[{plain(row.payer)}]" if row else ":gray[:small[Select a receipt to act on it]]",
                    width="content")
    if row and pressed:
        ask_settle(pressed[0], row.id, row.number, row.payer, money(row.total_micro, row.currency))


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
    labels = {"mark paid": ("Mark paid", "Keep open"), "revert": ("Revert payment", "Keep paid"),
              "void": ("Void receipt", "Keep receipt")}
    hint = {"mark paid": "Bank transfer of 12 Nov, reference 4711", "revert": "", "void": ""}[verb]
    reason = reason_form(f"settle_{receipt_id}", *labels[verb], placeholder=hint)
    done = {"mark paid": f"{number} is paid.", "revert": f"{number} is open again.", "void": f"{number} is void."}[verb]
    if reason and actions.act(lambda tx: calls[verb](tx, receipt_id, reason, by), f"settle_{receipt_id}", done=done).ok:
        st.rerun()
