"""One receipt: what stands on it, what became of it, and paying it. The page follows a payment by itself."""

from __future__ import annotations

import streamlit as st

from dashboard import (
    actions,
    confirm,
    explaining,
    exports,
    handed_out,
    job_table,
    navigation,
    reads,
    reads_wallets,
    receipt_history,
    refund_parts,
    tables,
    words,
)
from dashboard.access import require
from dashboard.paying import paying, settled
from dashboard.receipt_lines import lines, sums
from engine.errors import DomainError
from engine.receipts import Receipt, ReceiptStatus
from engine.services.receipts import void_receipt
from engine.users import Action, Person


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
    standing(person, page)
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
        handed_out.downloads(person, reads_wallets.documents_about(person, receipt.id))
    jobs(person, receipt)


def back() -> None:
    """To the list."""
    st.page_link(navigation.page_of("receipts"), label="All receipts", icon=":material/arrow_back:")


def subtitle(page: reads.ReceiptPage) -> str:
    """Whose, which jobs, when."""
    receipt = page.receipt
    span = f"jobs that ended {words.span(page.first_end, page.last_end)}" if page.first_end else "no new jobs"
    return f"{words.plain(receipt.payer)} · {span} · issued {words.moment(receipt.issued_at)} by {words.plain(receipt.issued_by)}"


def more(person: Person, receipt: Receipt) -> str | None:
    """Rare actions."""
    options = {"void": "Void…"} if person.may(Action.VOID) and receipt.status is ReceiptStatus.PENDING else {}
    if not options:
        return None
    return st.menu_button("More", list(options), format_func=options.__getitem__, icon=":material/more_horiz:", key="more")


def standing(person: Person, page: reads.ReceiptPage) -> None:
    """Its state as a badge and the due date in words; at the right, the receipt on paper."""
    receipt = page.receipt
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            tables.state_badge(reads.receipt_state(receipt, page.now))
            said = {ReceiptStatus.PENDING: words.due(receipt.due_at, page.now),
                    ReceiptStatus.PAID: f"paid {words.moment(receipt.paid_at)}"}
            st.markdown(tables.small(said.get(receipt.status, "nothing is owed")), width="content")
            refund_parts.marks(receipt.id)
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            handed_out.receipt_downloads(person, receipt)


def document(page: reads.ReceiptPage) -> None:
    """Lines, sums and history."""
    receipt = page.receipt
    tables.table(lines(page), {
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
        receipt_history.history(page)


def jobs(person: Person, receipt: Receipt) -> None:
    """Its lines one by one, and the same as a file."""
    with st.expander(f"{words.count(receipt.lines, 'line')}, one a job or a month's minimum", icon=":material/list:"):
        found = reads.receipt_jobs(person, receipt.id)
        selected = tables.table(job_table.line_rows(found), job_table.line_columns(receipt.currency), key="receipt_jobs",
                                select="single-row", on_select=_selected, height=400,
                                alt="The receipt's lines, one a job or a month's minimum")
        st.download_button("Lines as CSV", lambda: exports.csv(found.with_columns(exports.exact("cost_micro").alias("cost"))),
                           f"{receipt.number}.csv", "text/csv", on_click="ignore", icon=":material/download:", key="lines_csv")
    if st.session_state.pop("line_selected", False) and selected:
        line = found.row(selected[0], named=True)
        if line["run_key"] is None:
            explaining.explain_minimum(person, receipt.payer, line["month"], line["card_line"])
        else:
            explaining.explain_cost(person, line["run_key"])


def _selected() -> None:
    st.session_state["line_selected"] = True


@st.dialog("Void this receipt?", icon=":material/warning:")
def void(person: Person, receipt: Receipt) -> None:
    """Take a pending receipt back."""
    st.markdown(f"{words.plain(receipt.payer)} then owes {words.money(receipt.total_micro, receipt.currency)} less, and what "
                f"stands on {receipt.number} can be billed again. The receipt stays on record as void.")
    reason = confirm.reason_form("void", "Void receipt", "Keep receipt")
    if reason and actions.act(lambda tx: void_receipt(tx, receipt.id, reason, person), "void", f"{receipt.number} is void.").ok:
        st.rerun()


show(require(Action.SEE_OWN))
