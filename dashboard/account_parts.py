"""Parts of the accounts page: moving a payer to another tier, and the people who sign in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl
import streamlit as st

from dashboard import access, actions, reads_operations, tables
from dashboard.confirm import reason_form
from dashboard.reads_operations import TierChange
from dashboard.words import count, moment, money, plain
from data import passwords
from data.postgres.shelves.operations_reads import Someone
from engine.errors import DomainError
from engine.services import users
from engine.services.payers import set_tier
from engine.users import Role, check_name, generated_password

ROLE_WORDS = {"researcher": "Researcher: own usage and receipts", "admin": "Admin: everything, rates and people included",
              "finance": "Finance: bills and settles, everybody's usage", "auditor": "Auditor: reads everything, changes nothing"}
NEW_PASSWORD = "accounts_new_password"      # noqa: S105  the slot's name


def payers_table(payers: pl.DataFrame, currency: str, select: bool) -> list[int]:
    """Payers with their month; the answer is the selected row."""
    return tables.table(
        payers.select("payer", "tier", "jobs", "unbilled_jobs", cost=pl.col("cost_micro") / 1e6,
                      unbilled=pl.col("unbilled_micro") / 1e6, receipts="open_receipts", open=pl.col("open_micro") / 1e6),
        {"payer": tables.text_column("Payer", 190), "tier": tables.text_column("Tier", 100),
         "jobs": tables.number_column("Jobs, month", 96), "cost": tables.money_column(f"Month, {currency}", 124),
         "unbilled_jobs": tables.number_column("Unbilled jobs", 104),
         "unbilled": tables.money_column(f"Unbilled, {currency}", 130),
         "receipts": tables.number_column("Open receipts", 106), "open": tables.money_column(f"Open, {currency}", 124)},
        key=tables.key_of("payers", payers["payer"]), select="single-row" if select else "", alt="Payers with their month")


def ask_tier(payer: str, was: str, tiers: Sequence[str]) -> None:
    """Open the dialog that moves `payer` to another tier."""
    st.dialog(f"Change the tier of {plain(payer)}?", icon=":material/swap_vert:")(_tier_dialog)(payer, was, tiers)


def _tier_dialog(payer: str, was: str, tiers: Sequence[str]) -> None:
    by = access.me()
    tier = st.segmented_control("New tier", [tier for tier in tiers if tier != was], required=True, key="new_tier",
                                default=next(tier for tier in tiers if tier != was))
    try:
        change = reads_operations.tier_change(payer, tier)
    except DomainError as refusal:
        st.error(f"{plain(refusal.sentence)} Nothing was changed.", icon=":material/error:")
        return
    st.markdown(f"From now on {plain(payer)} is billed at **{tier}** instead of {was}. {_repriced(change)} Receipts that are"
                " issued stay as they are.")
    reason = reason_form("tier", "Change tier", "Keep tier")
    if reason and actions.act(lambda tx: set_tier(tx, payer, tier, by, reason), "tier",
                              done=f"{payer} is billed at {tier}.").ok:
        st.rerun()


def _repriced(change: TierChange) -> str:
    if not change.jobs:
        return "No unbilled job changes its price."
    return (f"{count(change.jobs, 'unbilled job')} {'is' if change.jobs == 1 else 'are'} priced anew:"
            f" **{money(change.before_micro)}** becomes **{money(change.after_micro)} {change.currency}**.")


def people_table(people: Sequence[Someone], now: datetime, select: bool) -> list[int]:
    """Everybody who can sign in; the answer is the selected row."""
    return tables.table(
        pl.DataFrame({
            "name": [one.name for one in people], "role": [one.role for one in people], "payer": [one.payer for one in people],
            "projects": [", ".join(one.projects) or None for one in people],
            "since": [moment(one.created_at, now) for one in people],
            "seen": [moment(one.seen_at, now) if one.seen_at else None for one in people],
            "state": [tables.pill("disabled" if one.disabled_at else "active") for one in people]},
            schema_overrides={"projects": pl.String, "seen": pl.String}),
        {"name": tables.text_column("Name", 180), "role": tables.text_column("Role", 110),
         "payer": tables.text_column("Pays as", 160), "projects": tables.text_column("Leads projects", 190),
         "since": tables.text_column("Added", 120), "seen": tables.text_column("Last click", 120),
         "state": tables.state_column("State", 108, ["active", "disabled"])},
        key=tables.key_of("people", (one.name for one in people)), select="single-row" if select else "", alt="People who can sign in")


@st.dialog("Add a person?", icon=":material/person_add:")
def ask_person() -> None:
    """Name, role, whose usage is theirs; the first password is made here and shown once."""
    by = access.me()
    with st.form("person", border=False, enter_to_submit=False):
        name = st.text_input("Name, as they sign in", max_chars=128, key="person_name")
        role = st.selectbox("Role", list(Role), format_func=lambda role: ROLE_WORDS[role.value], key="person_role")
        payer = st.text_input("Pays as (Slurm user name), when it is another", max_chars=256, key="person_payer")
        projects = st.text_input("Leads projects (Slurm accounts, by comma)", key="person_projects")
        with st.container(horizontal=True, horizontal_alignment="right"):
            kept = st.form_submit_button("Not now")
            pressed = st.form_submit_button("Add person", type="primary")
    if kept:
        st.rerun()
    if not pressed:
        return
    led = tuple(dict.fromkeys(word.strip() for word in projects.split(",") if word.strip()))
    if _add(name.strip(), Role(role), payer.strip(), led, by):
        st.rerun()


def _add(name: str, role: Role, payer: str, projects: tuple[str, ...], by: Any) -> bool:
    try:
        check_name(name)
    except DomainError as refusal:
        st.error(f"{plain(refusal.sentence)} Nothing was changed.", icon=":material/error:")
        return False
    password = generated_password()
    password_hash = passwords.hashed(password)
    done = actions.act(lambda tx: users.add(tx, name, role, password_hash, payer, projects, by=by), "person")
    if done.ok:
        st.session_state[NEW_PASSWORD] = (name, password)
    return done.ok


def show_new_password() -> None:
    """A password that was just made, shown until it is put away and nowhere else."""
    made = st.session_state.get(NEW_PASSWORD)
    if not made:
        return
    name, password = made
    with tables.card(f"First password of {plain(name)}", "shown once: hand it over now", height="content"):
        st.code(password, language=None)
        if st.button("Put away", key="password_seen"):
            del st.session_state[NEW_PASSWORD]
            st.rerun()


def ask_role(name: str, was: str) -> None:
    """Open the dialog that changes a person's role."""
    st.dialog(f"Change the role of {plain(name)}?", icon=":material/badge:")(_role_dialog)(name, was)


def _role_dialog(name: str, was: str) -> None:
    by = access.me()
    with st.form("role", border=False):
        role = st.radio("New role", [role for role in Role if role.value != was], format_func=lambda role: ROLE_WORDS[role.value],
                        key="new_role")
        st.markdown(":gray[It counts from their next click.]")
        with st.container(horizontal=True, horizontal_alignment="right"):
            kept = st.form_submit_button("Keep role")
            pressed = st.form_submit_button("Change role", type="primary")
    if kept:
        st.rerun()
    if pressed and actions.act(lambda tx: users.set_role(tx, name, Role(role), by), "role",
                               done=f"{name} is {role.value} now.").ok:
        st.rerun()


def ask_disable(name: str) -> None:
    """Open the dialog that shuts a person out."""
    st.dialog(f"Disable {plain(name)}?", icon=":material/person_off:")(_disable_dialog)(name)


def _disable_dialog(name: str) -> None:
    by = access.me()
    st.markdown(f"{plain(name)} is signed out everywhere and cannot sign in again. Usage and receipts stay, and go on being"
                " billed.")
    with st.form("disable", border=False):
        with st.container(horizontal=True, horizontal_alignment="right"):
            kept = st.form_submit_button("Keep active")
            pressed = st.form_submit_button("Disable", type="primary")
    if kept:
        st.rerun()
    if pressed and actions.act(lambda tx: users.disable(tx, name, by), "disable", done=f"{name} is disabled.").ok:
        st.rerun()
