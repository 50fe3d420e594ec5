"""What became of a receipt, step by step, as its page shows it."""

from __future__ import annotations

import streamlit as st

from dashboard import reads, tables, words
from engine.receipts import ReceiptStatus

WORDS = {"pending": "Issued, rates and tax locked", "paid": "Paid", "void": "Void", "refunded": "Refunded"}


def history(page: reads.ReceiptPage) -> None:
    """Every step with who did it, and the one that is waited for."""
    steps = [(("check_circle", "green") if event.to_status != "void" else ("cancel", "gray"), _said(event), words.moment(event.at))
             for event in page.events]
    if page.receipt.status is ReceiptStatus.PENDING:
        steps += [(("schedule", "orange"), "Waiting for payment", f"due {words.day(page.receipt.due_at)}"),
                  (("circle", "gray"), "Paid", "")]
    for (icon, colour), text, when in steps:
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", gap="small"):
            st.markdown(f":small[:{colour}[:material/{icon}:] {text}]", width="content")
            st.markdown(tables.small(when), width="content")


def _said(event: reads.ReceiptEvent) -> str:
    """One step in words."""
    text = "Payment taken back" if event.from_status == "paid" and event.to_status == "pending" else WORDS[event.to_status]
    return text + (f": {words.plain(event.reason)}" if event.reason else "") + f" :gray[· {words.plain(event.actor)}]"
