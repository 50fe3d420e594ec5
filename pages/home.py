"""Home: where one stands this month. What it cost so far, what is unbilled and owed, what runs, and the last thirty days."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard import charts, job_table, navigation, node_words, reads, reads_nodes, tables, words
from dashboard.access import require
from dashboard.scope_switch import scope_switch, whose
from engine.users import Action, Person

LATEST = ("ended", "job", "name", "account", "user", "partition", "state", "hours", "cost", "billing")


def show(person: Person) -> None:
    """The page from top to bottom."""
    standing = reads.standing(person)
    head = st.container()
    choice = scope_switch(person)
    page = reads.home(person, choice)
    with head:
        if tables.page_head("Home", whose(person, choice, standing), standing.freshness, _create_button(person)):
            st.switch_page(navigation.page_of("receipts"), query_params={"create": "1"})
    if not page.known:
        nodes_line(person)
        nobody_yet(person, choice)
        return
    nodes_line(person)
    tables.kpi_row(kpis(page, standing))
    wide, narrow = st.columns([2, 1])
    with wide, tables.card("Cost by day", charts_note(page, standing), key="days_card"):
        charts.stacked_days(page.days.starts, page.days.micro, "home_days", unfinished=page.days.starts[-1],
                            alt="Cost of the last 30 days by day and meter")
    with narrow, tables.card("Open receipts", standing.currency, key="open_card"):
        open_receipts(page, standing)
    with tables.card("Latest jobs", f"{standing.currency}, what runs now on top", height="content", key="latest_card"):
        latest(page, standing, choice)


def nodes_line(person: Person) -> None:
    """What one's GPU nodes cost an hour now and how long that lasts, on one line; nothing where none runs."""
    for one in reads_nodes.running(person):
        with st.container(horizontal=True, vertical_alignment="center", key=f"nodes_line_{one.currency}"):
            st.badge(words.count(one.nodes, "GPU node"), icon=":material/memory:", color="green")
            st.markdown(f"**{words.money(one.burn_micro, one.currency)}** an hour · the wallet lasts until "
                        f"{node_words.lasts_until(one.lasts_seconds, one.now)}", width="content")
            st.page_link(navigation.page_of("nodes"), label="Open")


def _create_button(person: Person) -> Callable[[], bool] | None:
    if not (person.may(Action.BILL_OWN) or person.may(Action.BILL_ALL)):
        return None
    return lambda: st.button("Create receipt", type="primary", icon=":material/add:", key="create_receipt")


def charts_note(page: reads.Home, standing: reads.Standing) -> str:
    """What the picture shows, and of when it is."""
    as_of = f", as of {words.moment(page.days.as_of, standing.now)}" if page.days.as_of else ""
    return f"{standing.currency}, by meter, last 30 days{as_of}; today is pale"


def kpis(page: reads.Home, standing: reads.Standing) -> list[tables.Kpi]:
    """The four figures."""
    jobs, micro = page.unbilled
    owed = sum(receipt.total_micro for receipt in page.open_receipts)
    late = [receipt for receipt in page.open_receipts if receipt.due_at < standing.now]
    open_note = f"{len(page.open_receipts)} open"
    if page.open_receipts:
        next_due = words.day(page.open_receipts[0].due_at)
        open_note = f"{len(late)} of {len(page.open_receipts)} overdue" if late else f"{open_note}, due {next_due}"
    running = page.running
    return [
        tables.Kpi(f"{standing.now.astimezone(words.zone()):%B} to date", words.money(page.month.cost_micro),
                   compared(page, standing),
                   help=f"Cost of the jobs that ended this month, in {standing.currency}, beside the same days of last month"),
        tables.Kpi("Unbilled", words.money(micro), words.count(jobs, "job"), help="Ended jobs that are on no receipt yet"),
        tables.Kpi("Open receipts", words.money(owed), open_note if page.open_receipts else "nothing to pay",
                   colour="red" if late else "gray", help="Issued and not paid yet"),
        tables.Kpi("Running now", words.count(running.running, "job"),
                   f"{running.cores:,} cores, {running.gpus:,} GPUs",
                   help=f"{words.count(running.waiting, 'job waits', 'jobs wait')} for a place, as Slurm said last"),
    ]


def compared(page: reads.Home, standing: reads.Standing) -> str:
    """This month beside the same days of the one before: an arrow, a percentage, and what it is compared with."""
    before = page.before.cost_micro
    if before <= 0:
        return "nothing in the same days before"
    percent = (100 * (page.month.cost_micro - before) + before // 2) // before
    arrow = "↑" if percent > 0 else "↓" if percent < 0 else "→"
    local = standing.now.astimezone(words.zone())
    return f"{arrow} {abs(percent):,}% vs 1–{local.day} {words.last_month(local):%b}"


def open_receipts(page: reads.Home, standing: reads.Standing) -> None:
    """What is to be paid, the earliest due first."""
    if not page.open_receipts:
        st.markdown(tables.small("Nothing to pay."))
    else:
        rows = [{"number": receipt.number, "due": words.days_left(receipt.due_at, standing.now),
                 "total": tables.major(receipt.total_micro)}
                for receipt in page.open_receipts[:6]]
        tables.table(rows, {"number": tables.text_column("Receipt", 122), "due": tables.text_column("Due", 84),
                            "total": tables.money_column("Total", 84)}, key="open_receipts", alt="Receipts that are not paid yet")
    st.page_link(navigation.page_of("receipts"), label="All receipts", icon=":material/receipt_long:")


def latest(page: reads.Home, standing: reads.Standing, choice: str) -> None:
    """The last jobs, what has not ended on top."""
    names = [name for name in LATEST if not (name == "user" and choice == reads.OWN)]
    columns = job_table.columns(names, "Cost", {"name": 180 if choice == reads.OWN else 140})
    tables.table(job_table.rows(page.latest), columns, key="latest_jobs", alt="The latest jobs")
    st.page_link(navigation.page_of("usage"), label="All usage", icon=":material/bar_chart:")


def nobody_yet(person: Person, choice: str) -> None:
    """The first day: of somebody who has not computed anything, or of the whole installation."""
    if choice == reads.ALL and person.may(Action.SEE_INGESTION):
        tables.nothing_here("rocket_launch", "No usage yet", "Jobs appear here with their price once they were read from Slurm.",
                            lambda: st.page_link(navigation.page_of("ingestion"), label="Load usage", icon=":material/input:"))
        return
    tables.nothing_here("rocket_launch", "No jobs yet" if choice == reads.OWN else "No usage yet",
                        "The first job you run on the cluster appears here with its price, once it was read from Slurm.")


show(require(Action.SEE_OWN))
