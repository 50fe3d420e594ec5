"""Parts of the ingestion page: clusters, the table of runs, and one run with its rejected lines."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import streamlit as st

from dashboard import exports, tables
from dashboard.reads_operations import Ingestion
from dashboard.words import NOTHING, ago, count, day, duration, moment
from data.postgres.shelves.operations_reads import RunLine

COMMANDS = """./corehours ingest slurm --file usage.txt            # a file: sacct --parsable2 or --json
./corehours ingest slurm --sacct -S 2026-10-01       # ask sacct on this machine
./corehours ingest slurm --slurmrestd http://HOST:6820   # ask slurmrestd"""


def clusters(page: Ingestion) -> None:
    """Each cluster: complete up to when, and whether that keeps the promise."""
    marks = page.watermarks
    tables.table(
        pl.DataFrame({
            "cluster": [mark.cluster for mark in marks], "to": [moment(mark.complete_to, page.now) for mark in marks],
            "age": [ago(mark.complete_to, page.now) for mark in marks],
            "promise": [f"within {count(int(page.promise.total_seconds() // 60), 'minute')}"] * len(marks),
            "source": [mark.source for mark in marks],
            "state": [tables.pill("late" if mark in page.late else "complete") for mark in marks]}),
        {"cluster": tables.text_column("Cluster", 180), "to": tables.text_column("Complete up to", 150),
         "age": tables.text_column("Age", 140), "promise": tables.text_column("Promised", 140),
         "source": tables.text_column("Last source", 150), "state": tables.state_column("State", 120)},
        key="clusters", alt="Up to when usage is complete, by cluster")


def runs_table(page: Ingestion, key: str) -> list[int]:
    """The runs, one line each; the answer is the selected row."""
    runs = page.runs
    return tables.table(
        pl.DataFrame({
            "started": [moment(run.started_at, page.now) for run in runs], "source": [run.source for run in runs],
            "window": [window(run, page.now) for run in runs],
            "lines": [run.lines for run in runs], "jobs": [run.jobs for run in runs], "new": [run.new for run in runs],
            "changed": [run.changed for run in runs], "unchanged": [run.unchanged for run in runs],
            "rejected": [run.rejected for run in runs], "took": [took(run) for run in runs],
            "state": [tables.pill(run.state) for run in runs]}),
        {"started": tables.text_column("Started", 108), "source": tables.text_column("Source", 92),
         "window": tables.text_column("Window", 190), "lines": tables.number_column("Lines", 72),
         "jobs": tables.number_column("Jobs", 68), "new": tables.number_column("New", 68),
         "changed": tables.number_column("Changed", 76), "unchanged": tables.number_column("Unchanged", 88),
         "rejected": tables.number_column("Rejected", 76), "took": tables.text_column("Took", 72),
         "state": tables.state_column("State", 90, ["taken", "running", "refused", "abandoned"])},
        key=key, select="single-row", alt="Ingest runs, the latest first")


def window(run: RunLine, now: datetime) -> str:
    """What the source was asked for."""
    if run.window_start is None or run.window_end is None:
        return "whole file"
    said = moment if run.window_end - run.window_start < timedelta(days=3) else day
    return f"{said(run.window_start, now)} – {said(run.window_end, now)}"


def took(run: RunLine) -> str:
    """How long it took, in the unit that fits."""
    if run.ended_at is None:
        return "–"
    seconds = (run.ended_at - run.started_at).total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else duration(int(seconds))


def run_card(run: RunLine, rejected: pl.DataFrame, now: datetime) -> None:
    """One run whole: where from, what was said, what could not be read."""
    with tables.card(f"Run {run.id}", moment(run.started_at, now)):
        left, right = st.columns([1, 1.6])
        with left:
            tables.state_badge(run.state)
            tables.rows_of([("Source", run.source), ("From", run.origin or NOTHING), ("Cluster", run.cluster or NOTHING),
                            ("Window", window(run, now)), ("Took", took(run))])
        with right:
            _said(run)
        _rejected(run, rejected)


def _said(run: RunLine) -> None:
    """Why it was refused, which sources did not answer, and its notes: words from outside, shown as they are."""
    if run.reason:
        st.markdown("**Why nothing was loaded**" if run.state in ("refused", "abandoned") else "**Sources that did not answer**")
        st.text(run.reason)
    if run.notes:
        st.markdown("**Notes**")
        for note in run.notes:
            st.text(note)
    if run.state == "taken" and not run.rejected:
        st.markdown(":gray[Every line was read.]")


def _rejected(run: RunLine, rejected: pl.DataFrame) -> None:
    if rejected.is_empty():
        return
    tables.sums(count(len(rejected), "line") + " rejected", count(int((~rejected["resolved"]).sum()), "line") + " still unread",
                "kept and named, never priced")
    tables.table(
        rejected.head(1000).with_columns(state=pl.when("resolved").then(pl.lit("read later")).otherwise(pl.lit("open"))),
        {"line": tables.number_column("Line", 70), "reason": tables.text_column("Why", 330),
         "text": tables.text_column("Text", 470), "state": tables.text_column("State", 90)},
        key=f"rejected_{run.id}", alt="Lines that could not be read")
    st.download_button("Rejected lines, CSV", lambda: exports.csv(rejected), f"corehours-run-{run.id}-rejected.csv", "text/csv",
                       icon=":material/download:", on_click="ignore")


def first_steps() -> None:
    """How usage comes in, where none has."""
    tables.nothing_here("input", "No usage has come in yet", "Ask Slurm or read a file; every job is priced as it arrives.")
    st.code(COMMANDS, language="bash")
    st.markdown(":gray[Or let the worker ask every five minutes: `python -m ingest --every 5m`]")
