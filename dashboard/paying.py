"""Paying a receipt: the button, the wait for the provider's word, and what came of it."""

from __future__ import annotations

import streamlit as st

from dashboard import actions, reads, reads_wallets, tables, wallet_parts, words
from dashboard.access import me
from engine.payments import FROM_WALLET, Payment, PaymentStatus
from engine.receipts import Receipt, ReceiptStatus
from engine.services.payments import start_payment
from engine.services.wallets import pay_from_wallet
from engine.users import Action, Person

LOOK_EVERY = "2s"


@st.fragment(run_every=LOOK_EVERY)
def paying(person: Person, number: str) -> None:
    """Pay, wait for the provider's word, and tell when it came. The rest of the page is drawn anew only then."""
    receipt, payments, now = reads.payments(me(), number)
    if receipt.status is not ReceiptStatus.PENDING:
        st.rerun()
    waiting = next((payment for payment in payments if payment.open(now)), None)
    provider = waiting.provider if waiting else ""
    if waiting and waiting.status is PaymentStatus.PROCESSING:
        st.badge("The money is on its way", icon=":material/hourglass_top:", color="blue")
        st.markdown(tables.small(f"Reference {waiting.reference} · the provider waits for it"))
    elif waiting:
        left = words.clock(waiting.expires_at - now)
        st.link_button("Open the checkout", reads.checkout_url(waiting), type="primary", icon=":material/open_in_new:",
                       width="stretch", key="checkout")
        st.markdown(tables.small(f"Reference {waiting.reference} · {left} left"))
        st.badge(wallet_parts.waited_for(provider), icon=":material/schedule:", color="orange")
    elif person.may(Action.PAY):
        provider = wallet_parts.choose_provider(reads_wallets.providers(), "pay_provider")
        pressed = st.button(f"Pay {words.money(receipt.total_micro, receipt.currency)}", type="primary",
                            icon=":material/credit_card:", width="stretch", key="pay")
        if pressed and actions.act(lambda tx: start_payment(tx, number, person, provider), f"pay_{number}").ok:
            st.rerun(scope="fragment")
    if person.may(Action.PAY):
        from_wallets(person, number)
    st.markdown(tables.small(wallet_parts.counts_once("A payment counts", provider)))
    attempts([payment for payment in payments if payment is not waiting])


def from_wallets(person: Person, number: str) -> None:
    """A button for every wallet that can pay all of it, and what the others lack."""
    receipt, held = reads_wallets.for_receipt(person, number)
    for wallet in held:
        name = words.plain(wallet_parts.whose(wallet.owner))
        if wallet.available_micro >= receipt.total_micro:
            pressed = st.button(f"Pay from the wallet of {name}", icon=":material/account_balance_wallet:", width="stretch",
                                key=f"pay_from_{wallet.owner}", help=f"It holds {words.money(wallet.available_micro, wallet.currency)}.")
            if pressed and actions.act(lambda tx, owner=wallet.owner: pay_from_wallet(tx, number, owner, person),
                                       f"pay_from_{number}", f"Receipt {number} is paid.").ok:
                st.rerun()
        else:
            st.markdown(tables.small(f"The wallet of {name} has {words.money(wallet.available_micro, wallet.currency)}: too little."))


def settled(receipt: Receipt, payments: list[Payment]) -> None:
    """How it was paid, or why there is nothing to pay."""
    paid = next((payment for payment in payments if str(payment.status) == "succeeded"), None)
    if receipt.status is ReceiptStatus.VOID:
        st.markdown("It is void: nothing is owed, its jobs can be billed again.")
    elif paid:
        by = {"manual": "by hand", FROM_WALLET: f"from the wallet of {paid.wallet}"}.get(paid.provider, f"through {paid.provider}")
        st.badge("Paid", icon=":material/check_circle:", color="green")
        tables.rows_of([("Reference", paid.reference), ("Paid", words.moment(paid.settled_at)), ("Settled", by)])
    else:
        tables.state_badge(str(receipt.status))


def attempts(others: list[Payment]) -> None:
    """Payments that came to nothing."""
    if others:
        tables.rows_of([(one.reference, f"{one.status}, {words.moment(one.created_at)}") for one in others[:3]])
