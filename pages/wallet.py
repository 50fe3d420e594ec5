"""The wallet: what it holds, what is on its way to it, and every movement with the balance after it."""

from __future__ import annotations

import streamlit as st

from dashboard import handed_out, navigation, reads_wallets, tables, wallet_parts, words
from dashboard.access import require
from engine.errors import DomainError
from engine.users import Action, Person

PAPERS = 10


def show(person: Person) -> None:
    """The page from top to bottom."""
    try:
        page = reads_wallets.page(person, st.query_params.get("owner", ""), st.query_params.get("currency", ""))
    except DomainError:
        tables.page_head("Wallet")
        tables.nothing_here("account_balance_wallet", "No such wallet", "It does not exist, or it is not yours to see.", own)
        return
    wallet = page.wallet
    if tables.page_head("Wallet", f"{words.plain(wallet_parts.whose(wallet.owner))} · amounts in {wallet.currency}",
                        action=(lambda: add_funds()) if page.may_use else None):
        st.switch_page(navigation.page_of("top_up"), query_params={"owner": wallet.owner})
    choose(page)
    figures(page)
    under_way(page)
    if page.project:
        with tables.card("Shared by", f"project {words.plain(page.project.project)}", height="content", key="shared"):
            wallet_parts.sharing(person, page.project, person.may(Action.MANAGE_WALLETS))
    st.subheader("Statement", anchor=False)
    if page.statement.is_empty():
        tables.nothing_here("receipt_long", "Nothing moved yet", "What is added, paid from it, refunded or adjusted stands here.")
    else:
        wallet_parts.statement(page)
    papers(person, wallet.owner)


def papers(person: Person, owner: str) -> None:
    """What was handed out about its money."""
    found = reads_wallets.documents(person, owner)
    if found:
        note = words.count(len(found), "document") if len(found) <= PAPERS else f"the newest {PAPERS} of {len(found)}"
        with tables.card("Documents", note, height="content", key="documents"):
            handed_out.downloads(person, found[:PAPERS])


def own() -> None:
    """To one's own."""
    st.page_link(navigation.page_of("wallet"), label="My wallet", icon=":material/arrow_back:")


def add_funds() -> bool:
    """The primary action."""
    return st.button("Add funds", type="primary", icon=":material/add_card:", key="add_funds")


def choose(page: reads_wallets.WalletPage) -> None:
    """Another wallet or currency, where there are several."""
    def go() -> None:
        st.query_params.clear()
        st.query_params["owner"] = st.session_state["wallet_owner"]
        if "wallet_currency" in st.session_state:
            st.query_params["currency"] = st.session_state["wallet_currency"]
    with st.container(horizontal=True):
        if len(page.owners) > 1:
            st.segmented_control("Wallet", page.owners, default=page.wallet.owner, required=True, key="wallet_owner", on_change=go,
                                 format_func=wallet_parts.whose, label_visibility="collapsed")
        if len(page.currencies) > 1:
            st.session_state.setdefault("wallet_owner", page.wallet.owner)
            st.segmented_control("Currency", page.currencies, default=page.wallet.currency, required=True, key="wallet_currency",
                                 on_change=go, label_visibility="collapsed")


def figures(page: reads_wallets.WalletPage) -> None:
    """What it holds, what of it can be spent, and what is owed or was spent."""
    wallet, moved = page.wallet, page.statement["moved_micro"]
    left = wallet.available_micro - page.owed_micro
    more = [tables.Kpi("Open receipts", words.money(page.owed_micro), words.count(page.owed_receipts, "receipt")),
            tables.Kpi("After paying them", words.money(left), "enough" if left >= 0 else "not enough",
                       colour="gray" if left >= 0 else "orange")]
    if page.project:                    # receipts are people's: a project owes nothing itself
        more = [tables.Kpi("Put in", words.money(int(moved.filter(moved > 0).sum())), "since it was opened"),
                tables.Kpi("Spent", words.money(-int(moved.filter(moved < 0).sum())),
                           f"shared by {words.count(len(page.project.members), 'person', 'people')}")]
    tables.kpi_row([
        tables.Kpi("Balance", words.money(wallet.balance_micro), words.count(len(page.statement), "movement")),
        tables.Kpi("Available", words.money(wallet.available_micro),
                   f"{words.money(wallet.frozen_micro)} frozen" if wallet.frozen_micro else "nothing frozen",
                   colour="orange" if wallet.frozen_micro else "gray",
                   help="Money that a payer's bank asks back is frozen until that is decided."), *more])


def under_way(page: reads_wallets.WalletPage) -> None:
    """Top-ups that somebody started and that are open."""
    for payment in page.under_way:
        with st.container(horizontal=True, vertical_alignment="center"):
            tables.state_badge(str(payment.status))
            st.markdown(f"{words.money(payment.amount_micro, payment.currency)} through "
                        f"{words.plain(wallet_parts.provider_word(payment.provider))} :gray[{payment.reference}]", width="content")
            st.page_link(navigation.page_of("top_up"), label="Follow", query_params={"payment": payment.reference})


show(require(Action.SEE_OWN))
