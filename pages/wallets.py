"""Wallets: what is kept for whom, changes by hand that wait for a second admin, and money that fits nobody."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import streamlit as st

from dashboard import adjustment_parts, exports, navigation, reads_wallets, tables, words
from dashboard.access import require
from engine.payments import Payment
from engine.users import Action, Person
from engine.wallets import Adjustment, AdjustmentStatus, Wallet, project_owner

VIEWS = {"wallets": "Wallets", "changes": "Changes by hand", "unapplied": "Unapplied money"}


def show(person: Person) -> None:
    """The page from top to bottom."""
    page = reads_wallets.finance()
    held = [wallet for wallet in page.wallets if wallet.currency == page.currency]
    if tables.page_head("Wallets", f"kept for payers and projects · figures in {page.currency}",
                        action=(lambda: change_button()) if person.may(Action.ADJUST) else None):
        adjustment_parts.ask("", page.currency, page.limit_micro)
    waiting = [one for one in page.adjustments if one.status is AdjustmentStatus.REQUESTED]
    unapplied = sum(one.received_micro for one in page.unapplied if one.currency == page.currency)
    tables.kpi_row([
        tables.Kpi("Kept", words.money(sum(wallet.balance_micro for wallet in held)), words.count(len(held), "wallet")),
        tables.Kpi("Frozen", words.money(sum(wallet.frozen_micro for wallet in held)), "by open disputes"),
        tables.Kpi("Waiting for a second admin", f"{len(waiting)}", words.count(len(waiting), "change"),
                   colour="orange" if waiting else "gray"),
        tables.Kpi("Unapplied", words.money(unapplied), words.count(len(page.unapplied), "payment"),
                   colour="orange" if page.unapplied else "gray", help="Money that came and fits nobody: find out whose it is."),
    ])
    view = st.segmented_control("View", list(VIEWS), default=asked_view(), required=True, key="wallets_view", on_change=switch,
                                format_func=VIEWS.__getitem__, label_visibility="collapsed")
    if view == "changes":
        changes(page, person)
    elif view == "unapplied":
        strays(page, person)
    else:
        listing(page, person)


def change_button() -> bool:
    """The primary action."""
    return st.button("Change a wallet…", icon=":material/edit:", type="primary", key="adjust")


def asked_view() -> str:
    """The view that the address names."""
    asked = st.query_params.get("show", "wallets")
    return asked if asked in VIEWS else "wallets"


def switch() -> None:
    """Write the chosen view into the address."""
    st.query_params.clear()
    st.query_params["show"] = st.session_state["wallets_view"]


def listing(page: reads_wallets.Finance, person: Person) -> None:
    """Every wallet with who shares it."""
    members = {project_owner(one.project): ", ".join(one.members) for one in page.projects}
    unused = [Wallet(owner, page.currency, 0) for owner in members if owner not in {one.owner for one in page.wallets}]
    rows = pl.DataFrame([(one.owner, members.get(one.owner), one.balance_micro, one.frozen_micro, one.currency)
                         for one in [*page.wallets, *unused]], orient="row",
                        schema={"owner": pl.String, "members": pl.String, "balance_micro": pl.Int64, "frozen_micro": pl.Int64,
                                "currency": pl.String})
    with st.container(horizontal=True, vertical_alignment="center"):
        text = st.text_input("Search", placeholder="Part of a name", icon=":material/search:", width=240, key="q", bind="query-params",
                             label_visibility="collapsed")
        if person.may(Action.MANAGE_WALLETS) and st.button("Open a project's wallet…", icon=":material/group_add:", key="open_project"):
            adjustment_parts.open_project()
    found = rows.filter(pl.col("owner").str.to_lowercase().str.contains(text.strip().lower(), literal=True))
    if found.is_empty():
        tables.nothing_here("account_balance_wallet", "No wallet here" if text else "No wallet was used yet",
                            "Nobody is called that." if text else "Wallets appear with the first money that is kept in them.")
        return
    kept = found.group_by("currency", maintain_order=True).agg(pl.col("balance_micro").sum()).rows()
    tables.sums(words.count(len(found), "wallet"), " · ".join(words.money(micro, currency) for currency, micro in kept))
    picked = tables.table(
        found.select("owner", "members", "currency", balance=pl.col("balance_micro") / 1e6, frozen=pl.col("frozen_micro") / 1e6),
        {"owner": tables.text_column("Wallet", 260), "members": tables.text_column("Shared by", 310),
         "currency": tables.text_column("Currency", 80), "frozen": tables.money_column("Frozen", 130),
         "balance": tables.money_column("Balance", 150)},
        key=tables.key_of("wallets", found["owner"]), select="single-row", alt="Wallets with what they hold")
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Open statement", icon=":material/receipt_long:", disabled=not picked, key="open_wallet") and picked:
            row = found.row(picked[0], named=True)
            st.switch_page(navigation.page_of("wallet"), query_params={"owner": row["owner"], "currency": row["currency"]})
        st.download_button("Wallets as CSV", lambda: exports.csv(wallets_file(found)), "wallets.csv", "text/csv", on_click="ignore",
                           icon=":material/download:", key="wallets_csv")


def wallets_file(found: pl.DataFrame) -> pl.DataFrame:
    """The listed wallets with exact amounts."""
    return found.select("owner", "members", exports.exact("balance_micro").alias("balance"),
                        exports.exact("frozen_micro").alias("frozen"), "currency")


def changes(page: reads_wallets.Finance, person: Person) -> None:
    """The queue for the second admin, and what was decided."""
    if not page.adjustments:
        tables.nothing_here("edit", "Nothing was changed by hand", f"Above {words.money(page.limit_micro, page.currency)} a second admin "
                            "confirms.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        state = st.pills("State", adjustment_parts.STATES, key="state", bind="query-params", label_visibility="collapsed")
        text = st.text_input("Search", placeholder="Part of a wallet, name or reason", icon=":material/search:", width=260, key="q",
                             bind="query-params", label_visibility="collapsed").strip().lower()
    found = [one for one in page.adjustments if (not state or one.status == state)
             and text in f"{one.wallet} {one.requested_by} {one.reason}".lower()]
    adjustment_parts.queue(found, page.now, person)
    st.download_button("Changes as CSV", lambda: exports.csv(changes_file(found)), "wallet-changes.csv", "text/csv", on_click="ignore",
                       icon=":material/download:", key="changes_csv")


def changes_file(found: Sequence[Adjustment]) -> pl.DataFrame:
    """The listed changes with exact amounts."""
    schema = {"id": pl.String, "requested_at": pl.Datetime("us", "UTC"), "wallet": pl.String, "amount_micro": pl.Int64,
              "currency": pl.String, "reason": pl.String, "requested_by": pl.String, "decided_by": pl.String, "status": pl.String}
    rows = [(one.id, one.requested_at, one.wallet, one.amount_micro, one.currency, one.reason, one.requested_by, one.decided_by,
             str(one.status)) for one in found]
    return pl.DataFrame(rows, orient="row", schema=schema).with_columns(exports.exact("amount_micro").alias("amount"))


def strays(page: reads_wallets.Finance, person: Person) -> None:
    """Money that fits nobody."""
    if not page.unapplied:
        tables.nothing_here("task_alt", "No money is unapplied", "All that came is known to be somebody's.")
        return
    text = st.text_input("Search", placeholder="Part of a reference, provider or reason", icon=":material/search:", width=280, key="q",
                         bind="query-params", label_visibility="collapsed").strip().lower()
    found = [one for one in page.unapplied if text in f"{one.reference} {one.provider} {one.money_ref} {one.note}".lower()]
    adjustment_parts.unapplied(found, page.now, person)
    st.download_button("Unapplied money as CSV", lambda: exports.csv(unapplied_file(found)), "unapplied.csv", "text/csv",
                       on_click="ignore", icon=":material/download:", key="unapplied_csv")


def unapplied_file(found: Sequence[Payment]) -> pl.DataFrame:
    """The listed money with exact amounts and the provider's own name of it."""
    schema = {"came_at": pl.Datetime("us", "UTC"), "provider": pl.String, "reference": pl.String, "money": pl.String, "why": pl.String,
              "received_micro": pl.Int64, "currency": pl.String}
    rows = [(one.created_at, one.provider, one.reference, one.money_ref, one.note, one.received_micro, one.currency) for one in found]
    return pl.DataFrame(rows, orient="row", schema=schema).with_columns(exports.exact("received_micro").alias("amount"))


show(require(Action.SEE_FINANCE))
