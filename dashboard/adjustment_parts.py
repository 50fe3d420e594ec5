"""Parts of finance's wallet page: changes by hand and their queue, money that fits nobody, projects' wallets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from dashboard import actions, tables, words
from dashboard.access import me
from dashboard.confirm import reason_form, yes_form
from engine.errors import DomainError
from engine.money import Money, amount_text, parse_micro
from engine.payments import Payment
from engine.services import adjustments as service
from engine.services import project_wallets
from engine.services.wallets import assign_unapplied
from engine.users import Action, Person
from engine.wallets import Adjustment, AdjustmentStatus

STATES = [str(status) for status in AdjustmentStatus]


def queue(found: Sequence[Adjustment], now: datetime, person: Person) -> None:
    """Every change by hand; those that wait can be decided."""
    waiting = sum(one.status is AdjustmentStatus.REQUESTED for one in found)
    tables.sums(words.count(len(found), "change"), words.count(waiting, "waits", "wait"), "the newest first")
    rows = [{"asked": words.moment(one.requested_at, now), "wallet": one.wallet, "by": one.requested_by, "second": one.decided_by,
             "reason": one.reason, "amount": one.amount_micro / 1e6, "currency": one.currency, "state": tables.pill(str(one.status))}
            for one in found]
    picked = tables.table(rows, {
        "asked": tables.text_column("Asked", 116), "wallet": tables.text_column("Wallet", 140), "reason": tables.text_column("Reason", 232),
        "by": tables.text_column("Asked by", 96), "second": tables.text_column("Decided by", 96),
        "amount": tables.money_column("Amount", 100), "currency": tables.text_column("Currency", 76),
        "state": tables.state_column("State", 106, STATES)},
        key=tables.key_of("adjustments", (f"{one.id}{one.status}" for one in found)), select="single-row", alt="Changes of wallets by hand")
    decide(found[picked[0]] if picked else None, person)


def decide(one: Adjustment | None, person: Person) -> None:
    """The actions under the queue."""
    waits = one is not None and one.status is AdjustmentStatus.REQUESTED
    mine = one is not None and one.requested_by == person.name
    second = waits and not mine and person.may(Action.CONFIRM_ADJUSTMENT)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Confirm…", icon=":material/check:", disabled=not second, key="adjust_confirm") and one:
            confirm(one)
        if st.button("Reject…", icon=":material/close:", disabled=not second, key="adjust_reject") and one:
            reject(one)
        if st.button("Withdraw…", icon=":material/undo:", disabled=not (waits and mine), key="adjust_withdraw") and one:
            withdraw(one)
        hint = "Select a change that waits" if one is None else "" if waits else f"It is {one.status}."
        st.markdown(tables.small(hint or ("You asked for it: another admin decides." if mine else "")), width="content")


@st.dialog("Confirm this change?", icon=":material/check:")
def confirm(one: Adjustment) -> None:
    """As the second person."""
    by = me()
    st.markdown(f"The wallet of {words.plain(one.wallet)} changes by **{words.money(one.amount_micro, one.currency)}**, as "
                f"{words.plain(one.requested_by)} asked: {words.plain(one.reason)}")
    if yes_form("confirm", "Confirm change", "Not now") and actions.act(
            lambda tx: service.confirm_adjustment(tx, one.id, by), "confirm", f"The wallet of {one.wallet} was changed.").ok:
        st.rerun()


@st.dialog("Reject this change?", icon=":material/close:")
def reject(one: Adjustment) -> None:
    """As the second person, with a reason."""
    by = me()
    st.markdown(f"The wallet of {words.plain(one.wallet)} stays as it is.")
    reason = reason_form("reject", "Reject change", "Not now")
    if reason and actions.act(lambda tx: service.reject_adjustment(tx, one.id, reason, by), "reject", "The change was rejected.").ok:
        st.rerun()


@st.dialog("Withdraw this change?", icon=":material/undo:")
def withdraw(one: Adjustment) -> None:
    """What one asked for oneself."""
    by = me()
    st.markdown(f"The wallet of {words.plain(one.wallet)} stays as it is.")
    if yes_form("withdraw", "Withdraw change", "Keep it waiting") and actions.act(
            lambda tx: service.withdraw_adjustment(tx, one.id, by), "withdraw", "The change was withdrawn.").ok:
        st.rerun()


@st.dialog("Change a wallet by hand?", icon=":material/edit:")
def ask(owner: str, currency: str, limit_micro: int) -> None:
    """Amount, direction, reason."""
    by = me()
    st.markdown(f"One person may change a wallet by {words.money(limit_micro)} a day at once; above, a second admin confirms it. "
                "The reason stays on the statement.")
    with st.form("adjust", border=False, enter_to_submit=False):
        wallet = st.text_input("Wallet of", value=owner, max_chars=256, key="adjust_owner", help="A payer, or project:NAME.")
        amount = st.text_input(f"Amount, {currency}", key="adjust_amount", placeholder="250.00, or -250.00 to take it out")
        reason = st.text_input("Reason", max_chars=300, key="adjust_reason")
        with st.container(horizontal=True, horizontal_alignment="right"):
            kept = st.form_submit_button("Leave it")
            pressed = st.form_submit_button("Change wallet", type="primary")
    if kept:
        st.rerun()
    if pressed:
        asked(wallet.strip(), amount, currency, reason, by)


def asked(owner: str, amount: str, currency: str, reason: str, by: Person) -> None:
    """Send the form; what came of it is said in a toast."""
    try:
        money = Money(parse_micro(amount), currency)
    except DomainError as refusal:
        st.error(f"{words.plain(refusal.sentence)} Nothing was changed.", icon=":material/error:")
        return
    key = actions.form_key("adjust")
    done = actions.act(lambda tx: service.request_adjustment(tx, owner, money, reason, by, key), "adjust")
    if done.value is not None:
        waits = done.value.status is AdjustmentStatus.REQUESTED
        st.session_state["toast"] = ("A second admin has to confirm it." if waits else f"The wallet of {owner} was changed.")
        st.rerun()


def unapplied(found: Sequence[Payment], now: datetime, person: Person) -> None:
    """Money that fits nobody, and finding out whose it is."""
    tables.sums(words.count(len(found), "payment"), " · ".join(sums_of(found)) or words.NOTHING, "the oldest first")
    rows = [{"came": words.moment(one.created_at, now), "provider": one.provider, "reference": one.reference, "why": one.note,
             "amount": one.received_micro / 1e6, "currency": one.currency} for one in found]
    picked = tables.table(rows, {
        "came": tables.text_column("Came", 116), "provider": tables.text_column("Provider", 90),
        "reference": tables.text_column("Reference", 184), "why": tables.text_column("Why", 392),
        "amount": tables.money_column("Amount", 100), "currency": tables.text_column("Currency", 76)},
        key=tables.key_of("unapplied", (one.reference for one in found)), select="single-row", alt="Money that fits nobody")
    with st.container(horizontal=True, vertical_alignment="center"):
        able = bool(picked) and person.may(Action.SETTLE)
        if st.button("Assign…", icon=":material/person_check:", disabled=not able, key="assign") and picked:
            assign(found[picked[0]])
        st.markdown(tables.small("" if picked else "Select the money whose owner you found"), width="content")


def sums_of(found: Sequence[Payment]) -> list[str]:
    """What came, a currency each."""
    currencies = dict.fromkeys(one.currency for one in found)
    return [words.money(sum(one.received_micro for one in found if one.currency == currency), currency) for currency in currencies]


@st.dialog("Assign this money?", icon=":material/person_check:")
def assign(one: Payment) -> None:
    """Into somebody's wallet."""
    by = me()
    st.markdown(f"**{one.received}** that came through {words.plain(one.provider)} goes into the wallet you name. "
                "From there it pays receipts, or is given back.")
    owner = st.text_input("Wallet of", max_chars=256, key="assign_owner", help="A payer, or project:NAME.")
    reason = reason_form("assign", "Assign money", "Leave it", placeholder="How you know whose it is")
    if reason and actions.act(lambda tx: assign_unapplied(tx, one.reference, owner.strip(), reason, by), "assign",
                              f"{amount_text(one.received_micro, one.currency)} {one.currency} is in the wallet of {owner.strip()}.").ok:
        st.rerun()


@st.dialog("Open a project's wallet?", icon=":material/group_add:")
def open_project() -> None:
    """A wallet that the members of a project share."""
    by = me()
    st.markdown("Its members may fill it and pay their receipts from it; its owner says who they are.")
    with st.form("project", border=False, enter_to_submit=False):
        project = st.text_input("Project (Slurm account)", max_chars=200, key="project_name")
        owner = st.text_input("Owner (a person who signs in)", max_chars=128, key="project_owner")
        with st.container(horizontal=True, horizontal_alignment="right"):
            kept = st.form_submit_button("Not now")
            pressed = st.form_submit_button("Open wallet", type="primary")
    if kept:
        st.rerun()
    if pressed and actions.act(lambda tx: project_wallets.open_project_wallet(tx, project, owner.strip(), by), "project",
                               f"The project {project.strip()} has a wallet.").ok:
        st.rerun()
