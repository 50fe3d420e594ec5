"""Billing loop: whether nodes are charged, how far behind it is, its last turns, and letting it go on once its clock is right."""

from __future__ import annotations

from datetime import timedelta

import streamlit as st

from dashboard import actions, charts, confirm, dialogs, reads_billing, tables, words
from dashboard.access import me, require
from engine.money import Money
from engine.services.billing import resume_billing
from engine.users import Action, Person

PAGE = "billing-loop"
DAY = timedelta(days=1)


def show(person: Person) -> None:
    """The page from top to bottom."""
    page = reads_billing.loop()
    what = f"charges what runs every {words.duration(page.interval_seconds)} · {page.active:,} active"
    may_resume = not page.state.running and person.may(Action.MANAGE_NODES)
    tables.page_head("Billing loop", what, badge(page), resume_button if may_resume else None)
    if not page.state.running:
        st.error(f"Stopped since {words.moment(page.state.stopped_at, page.now)}: {words.plain(page.state.reason)} Nothing is charged "
                 "until somebody lets it go on.", icon=":material/error:")
    tables.kpi_row(kpis(page))
    if not page.runs:
        tables.nothing_here("autorenew", "Nothing was charged yet", "A turn appears here as soon as there is something to charge.")
    else:
        pictures(page)
        turns(page)
    if dialogs.opened() == ("resume", ""):
        st.dialog("Let the billing loop go on?", on_dismiss=dialogs.close)(resume)()


def badge(page: reads_billing.Loop) -> tuple[str, str, str]:
    """Whether it runs and keeps up."""
    if not page.state.running:
        return "Stopped", ":material/error:", "red"
    patience = timedelta(seconds=reads_billing.LATE_INTERVALS * page.interval_seconds)
    if page.state.beat_at is None or page.now - page.state.beat_at > patience:
        last = f"Last turn {words.ago(page.state.beat_at, page.now)}" if page.state.beat_at else "No turn yet"
        return f"{last}: is a sidecar running?", ":material/schedule:", "orange"
    return f"Runs, last turn {words.ago(page.state.beat_at, page.now)}", ":material/check_circle:", "green"


def resume_button() -> bool:
    """The primary action."""
    return st.button("Let it go on…", type="primary", icon=":material/play_arrow:", key="resume", on_click=dialogs.open_dialog,
                     args=("resume", "", PAGE))


def resume() -> None:
    """Asks why, then lets it go on."""
    st.markdown("All that ran meanwhile is charged by the clock as it is now: first see that this machine, the database's and the nodes' "
                "say the right time.")
    reason = confirm.reason_form("resume", "Let it go on", "Leave it stopped", placeholder="what was wrong with which clock")
    if reason is not None and actions.act(lambda tx: resume_billing(tx, me(), reason), "resume", "The billing loop goes on.").ok:
        dialogs.close()
        st.rerun()


def kpis(page: reads_billing.Loop) -> list[tables.Kpi]:
    """What is charged an hour, was charged in a day, how far behind it is, who ran out."""
    runs = page.since(DAY)
    ended, warned = sum(run.depleted for run in runs), sum(run.warned for run in runs)
    suspended = f"{page.suspended} suspended" if page.suspended else "none suspended"
    return [
        tables.Kpi("Charged an hour", said(page.burn_micro), f"{page.active} active, {suspended}"),
        tables.Kpi("Charged, last turns", said(reads_billing.totals(runs)), f"{words.count(len(runs), 'turn')} in 24 hours"
                   if len(runs) < reads_billing.TURNS else f"the last {len(runs)} turns"),
        tables.Kpi("Behind", words.duration(page.behind_seconds), "more than a few intervals" if page.late else "as it should be",
                   colour="orange" if page.late else "gray", help="How long ago the active allocation that is furthest behind was charged"),
        tables.Kpi("Ran out", f"{ended}", f"{warned} warned in the same time", colour="orange" if ended else "gray",
                   help="Allocations that ended because their wallet was empty"),
    ]


def said(micro: dict[str, int]) -> str:
    """Amounts by currency: `1,234.50 THB`."""
    return " + ".join(str(Money(amount, currency)) for currency, amount in micro.items()) or words.NOTHING


def pictures(page: reads_billing.Loop) -> None:
    """Lag and charges over the last turns."""
    runs = list(reversed(page.runs))
    left, right = st.columns(2)
    with left, tables.card("Behind at the beginning of a turn", "seconds", key="lag_card"):
        charts.curve([run.started_at for run in runs], [float(run.lag_seconds) for run in runs], "loop_lag", unit="s", height=180,
                     alt="How far behind each turn of the loop began")
    currency = max(reads_billing.totals(runs), key=lambda one: reads_billing.totals(runs)[one], default="")
    with right, tables.card("Charged a turn", currency, key="total_card"):
        charts.curve([run.started_at for run in runs], [dict(run.totals).get(currency, 0) / 1e6 for run in runs], "loop_total",
                     unit=currency, height=180, alt="What each turn of the loop charged")


def turns(page: reads_billing.Loop) -> None:
    """The last turns, the newest first."""
    last = "turn" if len(page.runs) == 1 else words.count(len(page.runs), "turn")
    with tables.card("Turns", f"the last {last} that charged something", height="content", key="turns_card"):
        rows = [{"id": str(run.id), "at": f"{run.started_at.astimezone(words.zone()):%-d %b %H:%M:%S}", "by": run.by,
                 "took": None if run.ended_at is None else round((run.ended_at - run.started_at).total_seconds() * 1000),
                 "batches": run.batches, "allocations": run.allocations, "total": said(dict(run.totals)), "lag": run.lag_seconds,
                 "depleted": run.depleted, "warned": run.warned} for run in page.runs]
        tables.table(rows, {
            "id": tables.text_column("Turn", 70), "at": tables.text_column("Began", 130), "took": tables.number_column("Took, ms", 84),
            "batches": tables.number_column("Batches", 78), "allocations": tables.number_column("Charged", 80),
            "lag": tables.number_column("Behind, s", 84), "depleted": tables.number_column("Ended", 70),
            "warned": tables.number_column("Warned", 74), "by": tables.text_column("By", 90), "total": tables.text_column("Total", 180)},
            key="turns", alt="Turns of the billing loop")


show(require(Action.SEE_NODES))
