"""Parts of the page of refunds and disputes: giving money back, and what one of them went through."""

from __future__ import annotations

import streamlit as st

from dashboard import access, actions, reads_money, tables
from dashboard.words import moment, money, plain
from engine.errors import DomainError
from engine.money import Money, parse_micro
from engine.refunds import AT_ONCE
from engine.services.refunds import request_refund
from engine.users import Person


@st.dialog("Give money back?", icon=":material/undo:")
def ask_refund() -> None:
    """Find the payment, say what is left of it, then ask for it with a reason."""
    by = access.me()
    name = st.text_input("Payment or receipt", key="refund_what", placeholder="TXN_… or CH-2026-000017")
    if not name.strip():
        st.markdown(tables.small("What was paid by a provider goes back through it, what a wallet paid to the wallet."))
        return
    try:
        payment, left = reads_money.to_give_back(name)
    except DomainError as refusal:
        st.error(plain(f"{refusal.sentence} Nothing was changed."), icon=":material/error:")
        return
    rest = money(left.total_micro, payment.currency)
    where = "at once" if payment.provider in AT_ONCE else f"through {plain(payment.provider)}"
    st.markdown(f"{plain(payment.wallet or 'Nobody we know')} paid {money(payment.received_micro, payment.currency)}; **{rest}** of it can"
                f" go back, {where}.")
    _form(name.strip(), payment.currency, left.total_micro, by)


def _form(name: str, currency: str, left_micro: int, by: Person) -> None:
    with st.form("refund", border=False, enter_to_submit=False):
        amount = st.text_input(f"Amount, {currency}", money(left_micro).replace(",", ""), key="refund_amount")
        reason = st.text_input("Reason", max_chars=300, key="refund_reason")
        with st.container(horizontal=True, horizontal_alignment="right"):
            kept = st.form_submit_button("Keep the money")
            pressed = st.form_submit_button("Give back", type="primary", disabled=left_micro <= 0)
    if kept:
        st.rerun()
    key = actions.form_key("refund")
    if pressed and actions.act(lambda tx: request_refund(tx, name, Money(parse_micro(amount), currency), reason, by, key), "refund",
                               "The refund is requested.").ok:
        st.rerun()


def marks(receipt_id: str) -> None:
    """What a receipt's reader must know: money that went back or is on its way, and disputes over it. Drawn in a row."""
    refunds, disputes = reads_money.marks_of(receipt_id)
    for word, statuses, colour in (("given back", ("succeeded",), "gray"), ("on its way back", ("requested", "submitted"), "blue")):
        if micro := sum(one.amount_micro for one in refunds if one.status in statuses):
            st.badge(f"{money(micro, refunds[0].currency)} {word}", color=colour)       # type: ignore[arg-type]
    for dispute in disputes:
        if dispute.status != "won":
            words = "in dispute" if dispute.status == "open" else "lost in a dispute"
            st.badge(f"{money(dispute.amount_micro, dispute.currency)} {words}", color="orange" if words == "in dispute" else "red")


def refund_card(row: dict[str, object]) -> None:
    """One refund: whose, why, and each step."""
    with tables.card(f"Refund of {row['reference']}", plain(str(row["id"])), height="content"):
        left, right = st.columns(2)
        with left:
            tables.rows_of([("Payer", str(row["wallet"]) or "–"), ("Receipt", str(row["receipt"]) or "–"), ("Reason", str(row["reason"])),
                            ("Provider", f"{row['provider']} {row['provider_ref'] or ''}".strip()),
                            ("Made", "here" if row["origin"] == "here" else "in the provider's dashboard"),
                            *([("Provider says", str(row["why"]))] if row["why"] else [])])
        with right:
            tables.rows_of([(moment(step.at), f"{step.to_status} by {step.actor}" + (f": {step.why}" if step.why else ""))
                            for step in reads_money.refund_steps(str(row["id"]))])


def dispute_card(row: dict[str, object]) -> None:
    """One dispute: whose, why, and when the money moved."""
    with tables.card(f"Dispute over {row['reference']}", plain(str(row["id"])), height="content"):
        left, right = st.columns(2)
        with left:
            tables.rows_of([("Payer", str(row["wallet"]) or "–"), ("Receipt", str(row["receipt"]) or "–"),
                            ("Reason", str(row["reason"]) or "–"), ("Provider", f"{row['provider']} {row['provider_ref']}")])
        with right:
            tables.rows_of([(label, moment(row[name])) for label, name in (  # type: ignore[arg-type]
                ("Opened", "opened_at"), ("Money taken", "withdrawn_at"), ("Money back", "reinstated_at"), ("Closed", "closed_at"))])
