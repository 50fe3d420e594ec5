"""One receipt: what stands on it, what became of it, and paying it. The page follows a payment by itself."""

from __future__ import annotations

import streamlit as st

from dashboard import actions, confirm, exports, job_table, navigation, reads, tables, words
from dashboard.access import me, require
from dashboard.receipt_lines import lines, sums
from engine.errors import DomainError
from engine.payments import Payment
from engine.receipts import Receipt, ReceiptStatus
from engine.services.payments import start_payment
from engine.services.receipts import void_receipt
from engine.users import Action, Person

WORDS = {"pending": "Issued, rates and tax locked", "paid": "Paid", "void": "Void",
         "refunded": "Refunded"}
LOOK_EVERY = "2s"


def show(person: Person) -> None:
    """The page from top to bottom."""
    name = st.query_params.get("id") or st.query_params.get("receipt", "")      # the checkout sends people back with the latter
    try:
        page = reads.receipt_page(person, name)
    except DomainError:
        tables.page_head("Receipt")
        tables.nothing_here("receipt_long", "No such receipt" if name else "Which receipt?",
                            "It does not exist, or it is not yours to see." if name else "Choose one from the list.", back)
        return
    receipt = page.receipt
    if tables.page_head(f"Receipt {receipt.number}", subtitle(page), None, lambda: more(person, receipt)) == "void":
        void(person, receipt)
    standing(page)
    wide, narrow = st.columns([2.1, 1])
    cards = words.plain(", ".join(page.meters["rate_card"].unique().sort()))
    with wide, tables.card("Lines", f"tier {receipt.tier} · {cards}", key="lines_card"):
        document(page)
    with narrow, tables.card("Pay" if receipt.status is ReceiptStatus.PENDING else "Payment",
                             words.money(receipt.total_micro, receipt.currency), key="pay_card"):
        if receipt.status is ReceiptStatus.PENDING:
            paying(person, receipt.number)
        else:
            settled(receipt, reads.payments(person, receipt.number)[1])
    jobs(person, receipt)


def back() -> None:
    """To the list."""
    st.page_link(navigation.page_of("receipts"), label="All receipts", icon=":material/arrow_back:")


def subtitle(page: reads.ReceiptPage) -> str:
    """Whose, which jobs, when."""
    receipt = page.receipt
    span = f"jobs that ended {words.span(page.first_end, page.last_end)}" if page.first_end else "adjustments only"
    return f"{words.plain(receipt.payer)} · {span} · issued {words.moment(receipt.issued_at)} by {words.plain(receipt.issued_by)}"


def more(person: Person, receipt: Receipt) -> str | None:
    """Rare actions."""
    options = {"void": "Void…"} if person.may(Action.VOID) and receipt.status is ReceiptStatus.PENDING else {}
    if not options:
        return None
    return st.menu_button("More", list(options), format_func=options.__getitem__, icon=":material/more_horiz:", key="more")


def standing(page: reads.ReceiptPage) -> None:
    """Its state as a badge and the due date in words."""
    receipt = page.receipt
    with st.container(horizontal=True, vertical_alignment="center"):
        tables.state_badge(reads.receipt_state(receipt, page.now))
        said = {ReceiptStatus.PENDING: words.due(receipt.due_at, page.now),
                ReceiptStatus.PAID: f"paid {words.moment(receipt.paid_at)}"}
        st.markdown(tables.small(said.get(receipt.status, "nothing is owed")), width="content")


def document(page: reads.ReceiptPage) -> None:
    """Lines, sums and history."""
    receipt = page.receipt
    tables.table([line.cells() for line in lines(page)], {
        "what": tables.text_column("What", 196), "quantity": tables.number_column("Quantity", 84, 2),
        "unit": tables.text_column("Unit", 62), "price": tables.money_column(f"{receipt.currency} per unit", 96),
        "amount": tables.money_column(receipt.currency, 92)},
        key="lines", alt="What the receipt charges")
    _, right = st.columns([1.1, 1])
    with right, st.container(gap="xxsmall"):
        tables.rows_of(sums(receipt))
        with st.container(horizontal=True, horizontal_alignment="distribute", gap=None):
            st.markdown(f"**Total, {receipt.currency}**", width="content")
            st.markdown(f"**{words.money(receipt.total_micro)}**", width="content")
    st.subheader("History", anchor=False)
    with st.container(gap="xxsmall"):
        history(page)


def history(page: reads.ReceiptPage) -> None:
    """Every step with who did it, and the one that is waited for."""
    steps = [(("check_circle", "green") if event.to_status != "void" else ("cancel", "gray"), said(event), words.moment(event.at))
             for event in page.events]
    if page.receipt.status is ReceiptStatus.PENDING:
        steps += [(("schedule", "orange"), "Waiting for payment", f"due {words.day(page.receipt.due_at)}"),
                  (("circle", "gray"), "Paid", "")]
    for (icon, colour), text, when in steps:
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", gap="small"):
            st.markdown(f":small[:{colour}[:material/{icon}:] {text}]", width="content")
            st.markdown(tables.small(when), width="content")


def said(event: reads.ReceiptEvent) -> str:
    """One step in words."""
    text = "Payment taken back" if event.from_status == "paid" and event.to_status == "pending" else WORDS[event.to_status]
    return text + (f": {words.plain(event.reason)}" if event.reason else "") + f" :gray[· {words.plain(event.actor)}]"


@st.fragment(run_every=LOOK_EVERY)
def paying(person: Person, number: str) -> None:
    """Pay, wait for the provider's word, and tell when it came. The rest of the page is drawn anew only then."""
    receipt, payments, now = reads.payments(me(), number)
    if receipt.status is not ReceiptStatus.PENDING:
        st.rerun()
    waiting = next((payment for payment in payments if payment.open(now)), None)
    if waiting:
        left = words.clock(waiting.expires_at - now)
        st.link_button("Open the checkout", reads.checkout_url(waiting), type="primary", icon=":material/open_in_new:",
                       width="stretch", key="checkout")
        st.markdown(tables.small(f"Reference {waiting.reference} · {left} left"))
        st.badge("Waiting for the provider", icon=":material/schedule:", color="orange")
    elif person.may(Action.PAY):
        pressed = st.button(f"Pay {words.money(receipt.total_micro, receipt.currency)}", type="primary",
                            icon=":material/credit_card:", width="stretch", key="pay")
        if pressed and actions.act(lambda tx: start_payment(tx, number, person), f"pay_{number}").ok:
            st.rerun(scope="fragment")
    st.markdown(tables.small("A payment counts once the provider confirms it to us, usually within a minute."))
    attempts([payment for payment in payments if payment is not waiting])


def settled(receipt: Receipt, payments: list[Payment]) -> None:
    """How it was paid, or why there is nothing to pay."""
    paid = next((payment for payment in payments if str(payment.status) == "succeeded"), None)
    if receipt.status is ReceiptStatus.VOID:
        st.markdown("It is void: nothing is owed, its jobs can be billed again.")
    elif paid:
        by = "by hand" if paid.provider == "manual" else f"through {paid.provider}"
        st.badge("Paid", icon=":material/check_circle:", color="green")
        tables.rows_of([("Reference", paid.reference), ("Paid", words.moment(paid.settled_at)), ("Settled", by)])
    else:
        tables.state_badge(str(receipt.status))


def attempts(others: list[Payment]) -> None:
    """Payments that came to nothing."""
    if others:
        tables.rows_of([(one.reference, f"{one.status}, {words.moment(one.created_at)}") for one in others[:3]])


def jobs(person: Person, receipt: Receipt) -> None:
    """Its lines job by job, and the same as a file."""
    with st.expander(f"{words.count(receipt.lines, 'line')}, one a job", icon=":material/list:"):
        found = reads.receipt_jobs(person, receipt.id)
        tables.table(job_table.line_rows(found), job_table.line_columns(receipt.currency), key="receipt_jobs", height=400,
                     alt="The receipt's lines, one a job")
        st.download_button("Lines as CSV", lambda: exports.csv(found.with_columns(exports.exact("cost_micro").alias("cost"))),
                           f"{receipt.number}.csv", "text/csv", on_click="ignore", icon=":material/download:", key="lines_csv")


@st.dialog("Void this receipt?", icon=":material/warning:")
def void(person: Person, receipt: Receipt) -> None:
    """Take a pending receipt back."""
    st.markdown(f"{words.plain(receipt.payer)} then owes {words.money(receipt.total_micro, receipt.currency)} less, and what "
                f"stands on {receipt.number} can be billed again. The receipt stays on record as void.")
    reason = confirm.reason_form("void", "Void receipt", "Keep receipt")
    if reason and actions.act(lambda tx: void_receipt(tx, receipt.id, reason, person), "void", f"{receipt.number} is void.").ok:
        st.rerun()


show(require(Action.SEE_OWN))
