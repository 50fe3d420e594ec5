"""Billing queue: who has usage that is on no receipt yet, receipts for one or for all, and those that wait for money."""

from datetime import UTC, date, datetime

import polars as pl
import streamlit as st

from dashboard import charts, reads, reads_finance, tables, words
from dashboard.access import require
from dashboard.billing_parts import ask_receipts, ask_settle, show_results
from dashboard.finance_parts import age_colours
from dashboard.words import count, money
from engine.users import Action

person = require(Action.SEE_BILLING)
may_bill, may_settle, may_void = (person.may(action) for action in (Action.BILL_ALL, Action.SETTLE, Action.VOID))
zone = words.zone()


def last_day(text: str | None, today: date) -> date:
    """The last day to bill, from the address; the end of last month when it names none."""
    try:
        return min(date.fromisoformat(text or ""), today)
    except ValueError:
        return date.fromordinal(today.replace(day=1).toordinal() - 1)


today = datetime.now(UTC).astimezone(zone).date()
upto = last_day(st.query_params.get("upto"), today)
before = reads_finance.start_of(date.fromordinal(upto.toordinal() + 1), zone)
page = reads_finance.billing(before)
currency, queue = page.currency, page.queue
due = queue.filter(pl.col("due_micro") > 0, pl.col("currency") == currency)
everybody = tables.page_head(
    "Billing queue", f"jobs that ended up to {words.day(upto)} · amounts in {currency}", page.freshness,
    (lambda: st.button("Bill everybody", icon=":material/receipt_long:", type="primary", key="bill_everybody",
                       disabled=queue.is_empty())) if may_bill else None)

owed = page.receivable
tables.kpi_row([
    tables.Kpi("To bill", money(int(due["due_micro"].sum())), f"{count(len(queue), 'payer')}, {count(int(queue['jobs'].sum()), 'job')}",
               help="What is on no receipt yet, corrections included."),
    tables.Kpi("Corrections waiting", money(int(queue["adjustment_micro"].sum())), count(int(queue["adjustments"].sum()), "billed job"),
               help="Billed jobs whose record changed since; the difference goes on the next receipt."),
    tables.Kpi("Waiting for money", money(owed.total_micro), count(owed.receipts, "open receipt")),
    tables.Kpi("Overdue", money(owed.overdue_micro), count(owed.overdue_receipts, "receipt"),
               colour="orange" if owed.overdue_micro else "gray"),
])
show_results()

with tables.card("Not billed yet"):
    with st.container(horizontal=True, vertical_alignment="center"):
        chosen = st.date_input("Jobs that ended up to", upto, max_value=today, key=f"upto_{upto}", width=180, format="YYYY-MM-DD",
                               label_visibility="collapsed", help="The last day that is billed")
        st.markdown(":gray[:small[is the last day billed]]", width="content")
    if isinstance(chosen, date) and chosen != upto:
        st.query_params["upto"] = chosen.isoformat()
        st.rerun()
    if queue.is_empty():
        tables.nothing_here("task_alt", "Nobody has anything to bill", f"Every job that ended up to {words.day(upto)} is on a receipt.")
    else:
        tables.sums(count(len(queue), "payer"), money(int(due["due_micro"].sum()), currency), f"ended up to {words.day(upto)}")
        picked = tables.table(
            queue.select("payer", "tier", "jobs", "adjustments", oldest=pl.Series([words.day(end, page.now) for end in queue["oldest_end"]]),
                         usage=pl.col("usage_micro") / 1e6, corrections=pl.col("adjustment_micro") / 1e6, due=pl.col("due_micro") / 1e6),
            {"payer": tables.text_column("Payer", 170), "tier": tables.text_column("Tier", 90),
             "oldest": tables.text_column("Oldest job", 110), "jobs": tables.number_column("Jobs", 80),
             "adjustments": tables.number_column("Corrected", 90), "usage": tables.money_column(f"New, {currency}", 130),
             "corrections": tables.money_column(f"Corrections, {currency}", 150), "due": tables.money_column(f"To bill, {currency}", 140)},
            key=f"queue_{upto}", select="multi-row" if may_bill else "", alt="Payers with unbilled jobs")
        names = [queue["payer"][row] for row in picked]
        if may_bill:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{count(len(names), 'payer')}** :gray[selected]" if names else ":gray[:small[Select payers to bill only them]]",
                            width="content")
                some = st.button("Create receipts…" if len(names) != 1 else "Create receipt…", icon=":material/receipt:",
                                 disabled=not names, key="bill_selected")
            if some:
                ask_receipts(queue.filter(pl.col("payer").is_in(names)), before, upto, currency)
    if everybody:
        ask_receipts(queue, before, upto, currency)

left, right = st.columns([1.9, 1])
with right, tables.card("Waiting for money", f"{currency}, days past due"):
    charts.ranking(page.ages["age"].to_list(), page.ages["total_micro"].to_list(), "open_ages", colours=age_colours(), height=210,
                   alt="Open receipts by days past due")
with left, tables.card("Receipts"):
    shown = st.segmented_control("Which receipts", ["open", "settled"], default="open", required=True, key="which", label_visibility="collapsed",
                                 format_func=lambda word: f"Open {len(page.open)}" if word == "open" else "Settled and void")
    listed = ([(row["id"], row["number"], row["payer"], "overdue" if row["days_past_due"] >= 0 and row["age"] != "not due" else "pending",
                words.day(row["due_at"], page.now), row["total_micro"]) for row in page.open.iter_rows(named=True)] if shown == "open" else
              [(one.id, one.number, one.payer, reads.receipt_state(one, page.now), words.day(one.paid_at or one.issued_at, page.now),
                one.total_micro) for one in page.settled])
    if not listed:
        st.markdown(":gray[No receipt is open.]" if shown == "open" else ":gray[None yet.]")
    else:
        picked = tables.table(
            pl.DataFrame({"number": [row[1] for row in listed], "payer": [row[2] for row in listed], "day": [row[4] for row in listed],
                          "state": [tables.pill(row[3]) for row in listed], "total": [row[5] / 1e6 for row in listed]}),
            {"number": tables.text_column("Receipt", 140), "payer": tables.text_column("Payer", 130),
             "day": tables.text_column("Due" if shown == "open" else "Settled", 90), "total": tables.money_column(f"{currency}", 110),
             "state": tables.state_column("State", 100)},
            key=f"receipts_{shown}", select="single-row", alt="Receipts", height=9 * tables.ROW_HEIGHT)
        row = listed[picked[0]] if picked else None
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{row[1]}**" if row else ":gray[:small[Select a receipt to act on it]]", width="content")
            if st.button("Open", icon=":material/open_in_new:", disabled=row is None, key="open") and row:
                st.switch_page("pages/receipt.py", query_params={"id": row[0]})
            if shown == "open":
                paid = st.button("Mark paid…", icon=":material/payments:", disabled=row is None or not may_settle, key="mark_paid")
                void = st.button("Void…", icon=":material/block:", disabled=row is None or not may_void, key="void")
                if row and (paid or void):
                    ask_settle("mark paid" if paid else "void", row[0], row[1], row[2], money(row[5], currency))
            else:
                revert = st.button("Revert payment…", icon=":material/undo:", key="revert",
                                   disabled=row is None or row[3] != "paid" or not may_settle)
                if row and revert:
                    ask_settle("revert", row[0], row[1], row[2], money(row[5], currency))
