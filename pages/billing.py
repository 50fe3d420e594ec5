"""Billing queue: who has usage that is on no receipt yet, receipts for one or for all, and those that wait for money."""

from datetime import date

import polars as pl
import streamlit as st

from dashboard import access, billing_parts, reads_finance, tables, words
from dashboard.reads_finance import Billing
from dashboard.words import count, money
from engine.users import Action


def last_day(text: str, today: date) -> date:
    """The last day to bill, from the address; the end of last month when it names none."""
    try:
        return min(date.fromisoformat(text), today)
    except ValueError:
        return reads_finance.day_before(today.replace(day=1))


def figures(page: Billing, due_micro: int) -> None:
    """What is to be billed and what waits for money."""
    queue, owed = page.queue, page.receivable
    tables.kpi_row([
        tables.Kpi("To bill", money(due_micro), f"{count(len(queue), 'payer')}, {count(int(queue['jobs'].sum()), 'job')}",
                   help="What is on no receipt yet, corrections included."),
        tables.Kpi("Corrections waiting", money(int(queue["adjustment_micro"].sum())),
                   count(int(queue["adjustments"].sum()), "billed job"),
                   help="Billed jobs whose record changed since; the difference goes on the next receipt."),
        tables.Kpi("Waiting for money", money(owed.total_micro), count(owed.receipts, "open receipt")),
        tables.Kpi("Overdue", money(owed.overdue_micro), count(owed.overdue_receipts, "receipt"),
                   colour="orange" if owed.overdue_micro else "gray"),
    ])


def choose_day(upto: date, today: date) -> None:
    """The last day that is billed; what is chosen goes into the address."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("Bill jobs that ended up to", width="content")
        chosen = st.date_input("Last day billed", upto, max_value=today, key=f"upto_{upto}", width=150, format="YYYY-MM-DD",
                               label_visibility="collapsed")
        quick = {"end of last month": reads_finance.day_before(today.replace(day=1)), "today": today}
        for name, day in quick.items():
            if st.button(name.capitalize(), type="tertiary", disabled=day == upto, key=f"upto_{name}"):
                chosen = day
    if isinstance(chosen, date) and chosen != upto:
        st.query_params["upto"] = chosen.isoformat()
        st.rerun()


def show_today() -> None:
    """Today as the last day billed."""
    st.query_params["upto"] = today.isoformat()


person = access.require(Action.SEE_BILLING)
may_bill = person.may(Action.BILL_ALL)
today = reads_finance.today()
upto = last_day(st.query_params.get("upto", ""), today)
before = reads_finance.start_of(reads_finance.day_after(upto), words.zone())
page = reads_finance.billing(before)
currency = page.currency
due_micro = int(page.queue.filter(pl.col("currency") == currency)["due_micro"].sum())

everybody = tables.page_head(
    "Billing queue", f"jobs that ended up to {words.day(upto)} · amounts in {currency}", page.freshness,
    (lambda: st.button("Bill everybody", icon=":material/receipt_long:", type="primary", key="bill_everybody",
                       disabled=page.queue.is_empty())) if may_bill else None)
if everybody:
    billing_parts.ask_receipts(page.queue, before, upto, page.now)
figures(page, due_micro)
billing_parts.show_results()
choose_day(upto, today)
if page.queue.is_empty():
    tables.nothing_here("task_alt", "Nobody has anything to bill",
                        f"Every job that ended up to {words.day(upto)} is on a receipt.",
                        (lambda: st.button("Look up to today", on_click=show_today)) if upto < today else None)
else:
    names = billing_parts.queue_table(page.queue, page.now, currency, f"queue_{upto}", may_bill)
    if may_bill:
        with st.container(horizontal=True, vertical_alignment="center"):
            some = st.button("Create receipt…" if len(names) == 1 else "Create receipts…", icon=":material/receipt:",
                             disabled=not names, key="bill_selected")
            st.markdown(f"**{count(len(names), 'payer')}** :gray[selected]" if names
                        else ":gray[:small[Select payers to bill only them]]", width="content")
        if some:
            billing_parts.ask_receipts(page.queue.filter(pl.col("payer").is_in(names)), before, upto, page.now)
billing_parts.receipts(page, person)
