"""The frame around every page: which pages there are, who sees which, the logo, and who I am at the foot.

Every page is registered at every run, for everybody, so that a deep link survives signing in and a refusal is a sentence
instead of "page not found". What is hidden here is refused again by the page and by the service.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard import access, actions, dialogs
from dashboard.bell import bell
from dashboard.connection import store
from dashboard.words import plain, zone
from engine.services import users
from engine.users import Action, Person

PAGES = Path(__file__).resolve().parents[1] / "pages"
STATIC = Path(__file__).resolve().parent / "static"


@dataclass(frozen=True, slots=True)
class Entry:
    """One page: its file in pages/ without .py, its words, icon and address, and what one must be allowed to see it."""

    file: str
    title: str
    icon: str
    path: str
    needs: Action | None = None
    shown: bool = True


RESEARCH = (
    Entry("home", "Home", "home", "home", Action.SEE_OWN),
    Entry("usage", "Usage", "bar_chart", "usage", Action.SEE_OWN),
    Entry("quote", "Quote", "request_quote", "quote", Action.SEE_OWN),
    Entry("receipts", "Receipts", "receipt_long", "receipts", Action.SEE_OWN),
    Entry("receipt", "Receipt", "receipt", "receipt", Action.SEE_OWN, shown=False),
    Entry("wallet", "Wallet", "account_balance_wallet", "wallet", Action.SEE_OWN),
    Entry("top_up", "Add funds", "add_card", "top-up", Action.SEE_OWN, shown=False),
    Entry("nodes", "GPU nodes", "memory", "nodes", Action.SEE_OWN),
    Entry("allocation", "Allocation", "memory", "allocation", Action.SEE_OWN, shown=False),
    Entry("notifications", "Notifications", "notifications", "notifications", Action.SEE_OWN, shown=False),
    Entry("profile", "Profile", "person", "profile", shown=False),
)
OPERATIONS = (
    Entry("ingestion", "Ingestion", "input", "ingestion", Action.SEE_INGESTION),
    Entry("rates", "Rate cards", "sell", "rates", Action.SEE_RATES),
    Entry("accounts", "Accounts & tiers", "group", "accounts", Action.SEE_ACCOUNTS),
    Entry("billing", "Billing queue", "pending_actions", "billing", Action.SEE_BILLING),
    Entry("admin_nodes", "Node inventory", "dns", "node-inventory", Action.SEE_NODES),
    Entry("billing_loop", "Billing loop", "autorenew", "billing-loop", Action.SEE_NODES),
    Entry("audit", "Audit", "verified_user", "audit", Action.SEE_AUDIT),
)
FINANCE = (
    Entry("finance", "Overview", "account_balance", "finance", Action.SEE_FINANCE),
    Entry("wallets", "Wallets", "account_balance_wallet", "wallets", Action.SEE_FINANCE),
    Entry("bank", "Bank statement", "assured_workload", "bank", Action.SEE_FINANCE),
    Entry("refunds", "Refunds & disputes", "undo", "refunds", Action.SEE_FINANCE),
    Entry("reconciliation", "Reconciliation", "balance", "reconciliation", Action.SEE_FINANCE),
    Entry("inbox", "Inbox", "move_to_inbox", "inbox", Action.SEE_FINANCE),
    Entry("outbox", "Outbox", "outbox", "outbox", Action.SEE_FINANCE),
    Entry("what_if", "What if", "query_stats", "what-if", Action.SEE_FINANCE),
)
SECTIONS = {"Research": RESEARCH, "Operations": OPERATIONS, "Finance": FINANCE}


def show() -> None:
    """Draw the frame for whoever is looking and run the page they asked for."""
    st.set_page_config(page_title="Corehours", page_icon=str(STATIC / "icon.png"), layout="wide")
    person = access.visitor()
    if person is None:
        st.navigation([_door(entry) for entries in SECTIONS.values() for entry in entries], position="hidden").run()
        return
    access.note_presence()
    st.logo(str(STATIC / "logo.svg"), size="medium")
    page = st.navigation(menu(person), expanded=True)
    foot(person)
    dialogs.leave(page.url_path)
    page.run()
    actions.show_toast()


def menu(person: Person) -> dict[str, Sequence[st.Page]]:
    """Every page in its section; those a role may not see are registered without being listed."""
    listed = {title: [_page(entry, True) for entry in entries if visible(entry, person)]
              for title, entries in SECTIONS.items()}
    unlisted = [_page(entry, False) for entries in SECTIONS.values() for entry in entries if not visible(entry, person)]
    sections = {title: pages for title, pages in listed.items() if pages}
    last = next(reversed(sections))
    return {**sections, last: [*sections[last], *unlisted]}


def visible(entry: Entry, person: Person) -> bool:
    """True when the page is listed for this person."""
    return entry.shown and (entry.needs is None or person.may(entry.needs))


def foot(person: Person) -> None:
    """Who I am, and the way out."""
    with st.sidebar, st.container(gap="xsmall"):
        about = " · ".join(dict.fromkeys((person.name, person.role.value)))
        st.markdown(f":gray[:small[{plain(about)}]]")
        bell(_page(entry_of("notifications"), False))
        with st.container(horizontal=True, vertical_alignment="center"):
            st.page_link(_page(entry_of("profile"), False), label="Profile", icon=":material/person:")
            if st.button("Sign out", icon=":material/logout:", type="tertiary", key="sign_out"):
                sign_out()
        st.markdown(f":gray[:small[Times in {zone().key}]]")


def sign_out() -> None:
    """End this session in the database, then let the browser drop its cookie."""
    token, address = access.session_hash(), st.context.headers.get("X-Corehours-Address", "?")
    if token:
        store().run(lambda tx: users.leave(tx, token, address), actor=access.me().name)
        access.forget()
    st.logout()
    st.stop()


def entry_of(file: str) -> Entry:
    """The entry of a page's file."""
    return next(entry for entries in SECTIONS.values() for entry in entries if entry.file == file)


def address(file: str) -> str:
    """The path of a page for links: `/receipts`; the home page is `/`."""
    return "/" if file == "home" else f"/{entry_of(file).path}"


def page_of(file: str) -> st.Page:
    """The page of a file, to link or switch to."""
    return _page(entry_of(file), False)


def _page(entry: Entry, listed: bool) -> st.Page:
    return st.Page(PAGES / f"{entry.file}.py", title=entry.title, icon=f":material/{entry.icon}:", url_path=entry.path,
                   default=entry.file == "home", visibility="visible" if listed else "hidden")


def _door(entry: Entry) -> st.Page:
    """The page's address with the sign-in page behind it."""
    return st.Page(PAGES / "sign_in.py", title="Sign in", url_path=entry.path, default=entry.file == "home")
