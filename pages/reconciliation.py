"""Reconciliation: each provider's day beside our books, and every movement on which the two do not agree."""

from datetime import timedelta

import polars as pl
import streamlit as st

from dashboard import access, actions, money_parts, reads_money, tables
from dashboard.reads_money import Reconciliation, Run
from dashboard.words import count, day, moment, money, plain
from engine.services.reconciliation import ask_reconciliation
from engine.users import Action, Person

OUTCOMES = ("matched", "differs", "failed")
person = access.require(Action.SEE_FINANCE)


@st.dialog("Reconcile a day?", icon=":material/balance:")
def ask(page: Reconciliation, by: Person) -> None:
    """Choose provider and day; a sidecar asks the provider."""
    st.markdown("A sidecar asks the provider what moved on that day. What is missing here is applied as its webhook would have been.")
    with st.form("reconcile", border=False):
        provider = st.selectbox("Provider", page.providers)
        chosen = st.date_input("Day", page.today - timedelta(days=1), max_value=page.today - timedelta(days=1))
        with st.container(horizontal=True, horizontal_alignment="right"):
            left = st.form_submit_button("Not now")
            pressed = st.form_submit_button("Reconcile day", type="primary")
    if left:
        st.rerun()
    key = actions.form_key("reconcile")
    if pressed and actions.act(lambda tx: ask_reconciliation(tx, str(provider), chosen, key, by), "reconcile",
                               "A sidecar reconciles it now: reload in a moment.").ok:
        st.rerun()


def figures(page: Reconciliation) -> None:
    """How many days agree, and how much is open."""
    off = [run for run in page.runs if run.outcome == "differs"]
    failed = [run for run in page.runs if run.outcome == "failed"]
    tables.kpi_row([
        tables.Kpi("Days compared", f"{len(page.runs):,}", count(len({run.provider for run in page.runs}), "provider")),
        tables.Kpi("Days that differ", f"{len(off):,}", "somebody must look" if off else "all agree", colour="red" if off else "green"),
        tables.Kpi("Not told", f"{len(failed):,}", "asked again by itself" if failed else "every provider answered",
                   colour="orange" if failed else "gray"),
        tables.Kpi("Applied late", f"{sum(run.applied for run in page.runs):,}", "their webhook was missing"),
    ])


def detail(run: Run) -> None:
    """One run: its differences, named."""
    with tables.card(f"{plain(run.provider)}, {day(run.day)}", f"{moment(run.ran_at)} by {plain(run.ran_by)}", height="content"):
        if run.note:
            st.text(run.note)
        if run.outcome == "failed":
            return
        if not run.lines:
            st.markdown(f":gray[Both sides know the same {count(run.movements, 'movement')}.]")
        else:
            tables.table(
                [{"name": line.name, "reference": line.reference, "note": line.note, "ours": tables.major(line.ours_micro),
                  "theirs": tables.major(line.theirs_micro), "off": tables.major(line.difference_micro), "currency": line.currency}
                 for line in run.lines],
                {"name": tables.text_column("Their name", 190), "reference": tables.text_column("Payment", 170),
                 "note": tables.text_column("What", 280), "ours": tables.money_column("Ours", 90),
                 "theirs": tables.money_column("Theirs", 90), "off": tables.money_column("Difference", 90),
                 "currency": tables.text_column("", 50)}, key=f"lines_{run.id}", alt="Movements on which the two sides differ")


page = reads_money.reconciliation()
pressed = tables.page_head("Reconciliation", "each provider's books beside ours, day by day; fees and payouts are not compared", None,
                           (lambda: st.button("Reconcile a day…", icon=":material/balance:", type="primary", key="ask",
                                              disabled=not page.providers)) if person.may(Action.REFUND) else None)
if pressed:
    ask(page, person)
if not page.runs:
    tables.nothing_here("balance", "No day was compared yet", "Yesterday is compared by itself while a sidecar runs.")
    st.stop()
figures(page)
rows = reads_money.runs_frame(page.runs)
with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    tables.sums(count(len(page.runs), "day"), *(
        f"{money(int(part['theirs_micro'].sum() - part['ours_micro'].sum()))} {name} difference"
        for (name,), part in rows.filter(pl.col("currency") != "").group_by("currency", maintain_order=True)))
    st.markdown(tables.small("Select a day to see its differences"), width="content")
picked = tables.table(
    rows.select("day", "provider", "currency", "movements", "applied", "differences", ours=pl.col("ours_micro") / 1e6,
                theirs=pl.col("theirs_micro") / 1e6, off=(pl.col("theirs_micro") - pl.col("ours_micro")) / 1e6,
                state=pl.concat_list(pl.col("outcome"))),
    {"day": st.column_config.DateColumn("Day", width=104, format="D MMM YYYY"), "provider": tables.text_column("Provider", 110),
     "movements": tables.number_column("Movements", 88), "applied": tables.number_column("Applied", 74),
     "differences": tables.number_column("Differences", 90), "ours": tables.money_column("Ours", 110),
     "theirs": tables.money_column("Theirs", 110), "off": tables.money_column("Difference", 100), "currency": tables.text_column("", 50),
     "state": tables.state_column("State", 96, OUTCOMES)},
    key=tables.key_of("runs", (f"{run.id}" for run in page.runs)), select="single-row", alt="Providers' days, newest first")
money_parts.foot(len(page.runs), lambda: rows, "reconciliation", page.now)
if picked:
    wanted = rows.row(picked[0], named=True)
    detail(next(run for run in page.runs if (run.day, run.provider) == (wanted["day"], wanted["provider"])))
