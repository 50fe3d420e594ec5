"""Parts of the page of bank statements: bringing one, and saying whose money a line is."""

from __future__ import annotations

from datetime import date

import polars as pl
import streamlit as st

from dashboard import access, actions, confirm, reads_bank, tables
from dashboard.words import count, day, money, plain
from engine.bank import BadLine, BankLine, NewLine
from engine.bank_csv import Statement, read_statement
from engine.errors import DomainError
from engine.money import MINOR_DIGITS, parse_micro
from engine.services.bank import apply_line, bring, bring_one, set_aside, take_up

SHOWN = 200


@st.dialog("Bring a bank statement", icon=":material/upload_file:", width="large")
def bring_file(currency: str) -> None:
    """Choose a CSV, see what it holds, then bring it: all of it or nothing."""
    chosen = st.file_uploader("Statement as CSV", type="csv", key="statement")
    named = st.selectbox("Currency, where the file has no column for it", sorted(MINOR_DIGITS), sorted(MINOR_DIGITS).index(currency))
    if chosen is None:
        st.markdown(tables.small("Its first line names the columns: a date, an amount (or credit), and the payer's words. Nothing is "
                                 "kept before you have seen it."))
        return
    try:
        found = read_statement(chosen.getvalue(), str(named))
    except BadLine as refusal:
        st.error(plain(f"{refusal.detail} Nothing was changed."), icon=":material/error:")
        return
    _preview(found)
    lines = found.lines
    pressed = st.button(f"Bring {count(len(lines), 'line')}", type="primary", disabled=bool(found.problems) or not lines, key="bring")
    by = access.me()
    if pressed and actions.act(lambda tx: bring(tx, lines, chosen.name[:200], by), "bring", f"{count(len(lines), 'line')} brought.").ok:
        st.rerun()


def _preview(found: Statement) -> None:
    known = reads_bank.brought_before(found.lines)
    sums = {currency: sum(line.amount_micro for line in found.lines if line.currency == currency)
            for currency in sorted({line.currency for line in found.lines})}
    tables.sums(count(len(found.lines), "line"), ", ".join(money(micro, currency) for currency, micro in sums.items()) or "nothing came in",
                f"{known} brought before", f"{found.outgoing} went out")
    if found.problems:
        more = f" … and {len(found.problems) - 5} more" if len(found.problems) > 5 else ""
        st.error(plain(" ".join(found.problems[:5]) + more + " Nothing can be brought before every line can be read."),
                 icon=":material/error:")
    shown = found.lines[:SHOWN]
    tables.table(
        pl.DataFrame({"day": [day(line.booked_on) for line in shown], "amount": [line.amount_micro / 1e6 for line in shown],
                      "currency": [line.currency for line in shown], "text": [line.text for line in shown]}),
        {"day": tables.text_column("Day", 90), "amount": tables.money_column("Amount", 100), "currency": tables.text_column("", 50),
         "text": tables.text_column("Words", 420)}, key="statement_preview", height=260, alt="What the statement holds")


@st.dialog("Add one line", icon=":material/add:")
def add_line(currency: str) -> None:
    """A line that somebody read off a statement."""
    with st.form("bank_line", border=False, enter_to_submit=False):
        on = st.date_input("Day", "today", key="line_day")
        amount = st.text_input("Amount", key="line_amount", placeholder="1234.56")
        named = st.selectbox("Currency", sorted(MINOR_DIGITS), sorted(MINOR_DIGITS).index(currency), key="line_currency")
        text = st.text_input("Words", key="line_text", max_chars=300, placeholder="the payer's name and reference, as the bank shows them")
        pressed = st.form_submit_button("Add line", type="primary")
    if not pressed:
        return
    by = access.me()
    try:
        if not isinstance(on, date):
            raise BadLine("Say on which day it came.")
        line = NewLine(on, parse_micro(amount), str(named), text)
    except DomainError as refusal:
        st.error(plain(f"{refusal.sentence} Nothing was changed."), icon=":material/error:")
        return
    done = actions.act(lambda tx: bring_one(tx, line, by), "add_line")
    if done.ok and done.value and done.value.new:
        st.session_state["toast"] = "The line waits now."
        st.rerun()
    elif done.ok:
        st.error("This very line is here already. Nothing was changed.", icon=":material/error:")


@st.dialog("Whose money is it?", icon=":material/person_search:")
def apply(line: BankLine, named: str) -> None:
    """Say which payment the line is for; the one that its words name is proposed."""
    st.markdown(f"**{money(line.amount_micro, line.currency)}** of {day(line.booked_on)}: {plain(line.text)}")
    with st.form("apply_line", border=False, enter_to_submit=False):
        reference = st.text_input("Payment", named, key="apply_reference", placeholder="TXN_…",
                                  help="What is more than the payment asked for goes to its payer's wallet, and so does what is less.")
        with st.container(horizontal=True, horizontal_alignment="right"):
            nobody = st.form_submit_button("Nobody we know")
            pressed = st.form_submit_button("Apply", type="primary")
    by = access.me()
    if pressed and not reference.strip():
        st.error("Name the payment, or say that it is nobody's we know. Nothing was changed.", icon=":material/error:")
    elif pressed or nobody:
        done = actions.act(lambda tx: apply_line(tx, line.id, "" if nobody else reference.strip(), by), f"apply_{line.id}")
        if done.ok and done.value:
            st.session_state["toast"] = f"{done.value.step}: {done.value.why}."
            st.rerun()


@st.dialog("Set this line aside?", icon=":material/do_not_disturb_on:")
def aside(line: BankLine) -> None:
    """It is no payer's money."""
    st.markdown(f"{money(line.amount_micro, line.currency)} of {day(line.booked_on)} is then in nobody's books here. It stays in sight "
                "and can be taken up again.")
    reason = confirm.reason_form("aside", "Set aside", "Keep it waiting", placeholder="interest, a transfer of our own …")
    by = access.me()
    if reason and actions.act(lambda tx: set_aside(tx, line.id, reason, by), "aside", "The line is set aside.").ok:
        st.rerun()


def again(line: BankLine) -> None:
    """What was set aside waits again."""
    by = access.me()
    if actions.act(lambda tx: take_up(tx, line.id, by), f"again_{line.id}", "The line waits again.").ok:
        st.rerun()
