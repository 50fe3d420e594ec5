"""Accounts & tiers: who is billed at which tier, what their month was, and who may sign in."""

import polars as pl
import streamlit as st

from dashboard import access, account_parts, reads_finance, reads_operations, tables
from dashboard.words import count, money, plain
from engine.users import Action, Person

VIEWS = {"payers": "Payers", "people": "People who sign in"}


def view_of(person: Person) -> str:
    """Payers, or the people when the address asks for them and the role may see them."""
    return "people" if st.query_params.get("show") == "people" and person.may(Action.MANAGE_USERS) else "payers"


def switch() -> None:
    """Write the chosen view into the address."""
    st.query_params.clear()
    if st.session_state["accounts_view"] == "people":
        st.query_params["show"] = "people"


def choose_view(person: Person, view: str) -> None:
    """Payers or people; those who may not manage people are not asked."""
    if person.may(Action.MANAGE_USERS):
        st.segmented_control("View", list(VIEWS), default=view, required=True, key="accounts_view", on_change=switch,
                             format_func=lambda name: VIEWS[name], label_visibility="collapsed")


def payers(person: Person) -> None:
    """Everybody who is billed."""
    page = reads_finance.payers()
    currency = page.currency
    tables.page_head("Accounts & tiers", f"{page.month.first:%B %Y} to date · amounts in {currency}")
    here = page.payers.filter((pl.col("currency") == currency) | pl.col("currency").is_null())
    tables.kpi_row([
        tables.Kpi("Payers", f"{here['payer'].n_unique():,}", count(here["tier"].n_unique(), "tier")),
        tables.Kpi("Cost this month", money(int(here["cost_micro"].sum())), count(int(here["jobs"].sum()), "job")),
        tables.Kpi("Unbilled", money(int(here["unbilled_micro"].sum())), count(int(here["unbilled_jobs"].sum()), "job")),
        tables.Kpi("Open receipts", money(int(here["open_micro"].sum())), count(int(here["open_receipts"].sum()), "receipt")),
    ])
    with st.container(horizontal=True, vertical_alignment="center"):
        choose_view(person, "payers")
        text = st.text_input("Search", placeholder="Part of a name", icon=":material/search:", width=240, key="q",
                             bind="query-params", label_visibility="collapsed")
        tier = st.pills("Tier", page.tiers, key="tier", bind="query-params", label_visibility="collapsed")
    found = here.filter(pl.col("payer").str.to_lowercase().str.contains(text.strip().lower(), literal=True),
                        pl.col("tier").is_in([tier] if tier else page.tiers))
    if found.is_empty():
        tables.nothing_here("person_search", "Nobody is called that" if text or tier else "Nobody is billed yet",
                            "Search another part of the name, or another tier." if text or tier
                            else "Payers appear with their first job: load usage on the ingestion page.")
        return
    tables.sums(count(len(found), "payer"), money(int(found["cost_micro"].sum()), currency), "this month")
    may_change = person.may(Action.SET_TIER)
    picked = account_parts.payers_table(found, currency, may_change)
    row = found.row(picked[0], named=True) if picked else None
    if may_change:
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Change tier…", icon=":material/swap_vert:", disabled=row is None, key="change_tier") and row:
                account_parts.ask_tier(row["payer"], row["tier"], page.tiers)
            tables_hint(row["payer"] if row else "", "Select a payer to change the tier")


def tables_hint(name: str, hint: str) -> None:
    """What is selected, or what to select."""
    st.markdown(f"**{plain(name)}** :gray[selected]" if name else f":gray[:small[{hint}]]", width="content")


def people(person: Person) -> None:
    """Everybody who can sign in."""
    now, everybody = reads_operations.people()
    able = sum(not one.disabled_at for one in everybody)
    if tables.page_head("Accounts & tiers", f"{count(able, 'person', 'people')} can sign in",
                        action=lambda: st.button("Add person", icon=":material/person_add:", type="primary", key="add_person")):
        account_parts.ask_person()
    choose_view(person, "people")
    account_parts.show_new_password()
    picked = account_parts.people_table(everybody, now, True)
    one = everybody[picked[0]] if picked else None
    fixed = one is None or one.name == person.name or one.disabled_at is not None
    with st.container(horizontal=True, vertical_alignment="center"):
        why = "Somebody else has to do this to you" if one and one.name == person.name else None
        if st.button("Change role…", icon=":material/badge:", disabled=fixed, help=why, key="change_role") and one:
            account_parts.ask_role(one.name, one.role)
        if st.button("Disable…", icon=":material/person_off:", disabled=fixed, help=why, key="disable") and one:
            account_parts.ask_disable(one.name)
        tables_hint(one.name if one else "", "Select a person to act on")


me = access.require(Action.SEE_ACCOUNTS)
(people if view_of(me) == "people" else payers)(me)
