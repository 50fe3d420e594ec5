"""The dialog that makes a receipt: who and up to when, what it would say, then the act."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from dashboard import actions, navigation, periods, reads, tables, words
from engine.errors import DomainError
from engine.receipts import Draft
from engine.services.receipts import create_receipt
from engine.users import Action, Person


@st.dialog("Create receipt", width="medium", icon=":material/receipt_long:")
def create(person: Person, choice: str) -> None:
    """Who and up to when, then exactly what the receipt would say, then the act."""
    moment: datetime = st.session_state["create_moment"]
    today = moment.astimezone(words.zone()).date()
    payer = payer_choice(person, moment)
    if payer is None:
        st.markdown("Nobody has an ended job that is not billed yet.")
        return
    last = st.date_input("Jobs that ended up to and including", today, max_value=today, format="YYYY-MM-DD", key="create_up_to")
    before = moment if last == today else periods.Period("", last, last, last, last).end(words.zone())
    try:
        draft = reads.preview(person, payer, before)
    except DomainError as refusal:
        st.error(words.plain(refusal.sentence), icon=":material/error:")
        return
    if draft is None:
        st.markdown(f"There is nothing to bill: no ended job of {words.plain(payer)} up to that day is unbilled.")
        return
    preview(draft, payer)
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Not now", key="create_not_now"):
            st.rerun()
        pressed = st.button("Create receipt", type="primary", key="create_now")
    if pressed:
        done = actions.act(lambda tx: create_receipt(tx, payer, before, person), "create_receipt", "The receipt is issued.")
        if done.value:
            st.switch_page(navigation.page_of("receipt"), query_params={"id": done.value.number})


def payer_choice(person: Person, moment: datetime) -> str | None:
    """Oneself; whoever bills others chooses among those who have something to bill."""
    if not person.may(Action.BILL_ALL):
        return person.payer
    payers = reads.billable_payers(moment)
    if not payers:
        return None
    return st.selectbox("Payer", payers, index=payers.index(person.payer) if person.payer in payers else 0, key="create_payer")


def preview(draft: Draft, payer: str) -> None:
    """What the receipt would say, per meter, with tax and total."""
    jobs, adjustments, months = (int((draft.lines["kind"] == kind).sum()) for kind in ("usage", "adjustment", "commitment"))
    note = f" · {words.count(months, 'month')} up to the minimum" if months else ""
    note += f" · {words.count(adjustments, 'adjustment')} of earlier receipts" if adjustments else ""
    st.markdown(f"**{words.plain(payer)}** pays for **{words.count(jobs, 'job')}**{note}. "
                f"Rates, tier *{draft.tier}* and tax are locked when it is issued.")
    rows = reads.draft_rows(draft)
    tables.table(rows, {"what": tables.text_column("What", 200), "quantity": tables.number_column("Quantity", 110, 2),
                        "unit": tables.text_column("Unit", 80), "amount": tables.money_column(draft.currency, 120)},
                 key="preview", alt="What the receipt would say")
    with st.container(horizontal=True, horizontal_alignment="right"):
        st.markdown(f"**Total {words.money(draft.total_micro, draft.currency)}**", width="content")
