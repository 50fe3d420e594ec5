"""Ingestion: up to when usage is complete, what each run brought, and what could not be read and why."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import streamlit as st

from dashboard import access, ingestion_parts, reads_operations, tables, words
from dashboard.connection import store
from dashboard.words import ago, count, plain
from engine.errors import BatchRefused, DomainError
from engine.policy import allow
from engine.users import Action, Person
from ingest.keep import Kept, keep, refuse
from ingest.sources.file import FileSource

ROWS = 50
STATES = ["taken", "refused", "running", "abandoned"]

person = access.require(Action.SEE_INGESTION)


@st.dialog("Upload an accounting file?", icon=":material/upload_file:")
def ask_upload() -> None:
    """Take a file and load it; what came of it, or why not, is answered here."""
    st.markdown("Its jobs are priced and shown at once. Jobs that are known already change only where the file says something"
                " else; what is billed already is corrected on the next receipt.")
    with st.form("upload", border=False):
        file = st.file_uploader("sacct --parsable2 or --json, also gzip", key="upload_file")
        cluster = st.text_input("Cluster, where the file names none", key="upload_cluster", max_chars=64)
        with st.container(horizontal=True, horizontal_alignment="right"):
            closed = st.form_submit_button("Close")
            pressed = st.form_submit_button("Load file", type="primary")
    if closed:
        st.rerun()
    if pressed and file is None:
        st.error("Choose a file first. Nothing was loaded.", icon=":material/error:")
    elif pressed and file is not None:
        bar = st.progress(0.0, f"Reading {plain(file.name)}, {len(file.getvalue()) / 1e6:,.1f} MB")
        try:
            kept = load(file.name, file.getvalue(), cluster.strip(), access.me(), bar.progress)
        except DomainError as refusal:
            bar.empty()
            st.error(plain(refusal.sentence), icon=":material/error:")
        else:
            st.session_state["toast"] = f"{count(kept.jobs, 'job')}: {kept.new:,} new, {kept.changed:,} changed"
            st.query_params["run"] = str(kept.run_id)
            st.rerun()


def load(name: str, content: bytes, cluster: str, by: Person, told: Callable[[float], object]) -> Kept:
    """The file's usage, read and kept as every other batch is; a refused one is a run of its own with its reason.

    `told` hears the share that is read. Storing is one transaction, in which nothing is drawn."""
    allow(by, Action.INGEST)
    origin = f"upload of {name} by {by.name}"
    with TemporaryDirectory(prefix="corehours-upload-") as folder:
        path = Path(folder) / (Path(name).name.lstrip(".-") or "upload")
        path.write_bytes(content)
        try:
            batch = FileSource(path, cluster).read(None, told)
        except BatchRefused as refusal:
            refuse(store(), "file", origin, refusal.detail, actor=by.name)
            raise
    return keep(store(), replace(batch, origin=origin), actor=by.name)


state = st.query_params.get("state") if st.query_params.get("state") in STATES else None
page = reads_operations.ingestion([state] if state else None, ROWS, (int(st.session_state.get("runs_page", 1)) - 1) * ROWS)
total = sum(page.states.values())
upload = tables.page_head(
    "Ingestion", "how usage came in, and what could not be read",
    words.freshness(page.complete_to, page.now, page.promise),
    (lambda: st.button("Upload file", icon=":material/upload_file:", type="primary")) if person.may(Action.INGEST) else None)
if upload:
    ask_upload()
if not total:
    ingestion_parts.first_steps()
    st.stop()

last = page.runs[0] if page.runs else None
tables.kpi_row([
    tables.Kpi("Clusters on time", f"{len(page.watermarks) - len(page.late)} of {len(page.watermarks)}",
               f"{page.late[0].cluster} late" if page.late else "promise kept", colour="orange" if page.late else "green"),
    tables.Kpi("Last run", ago(last.started_at, page.now) if last else "–", f"{last.source}, {last.state}" if last else "",
               colour="red" if last and last.state == "refused" else "gray"),
    tables.Kpi("New jobs, 7 days", f"{page.new_in_week:,}", f"{page.changed_in_week:,} changed"),
    tables.Kpi("Lines not read", f"{page.unresolved:,}", "kept, never priced" if page.unresolved else "none",
               colour="orange" if page.unresolved else "gray",
               help="Rejected lines that no later run of the same source has read well."),
])
with tables.card("Clusters", "usage is complete up to", height="content"):
    if page.watermarks:
        ingestion_parts.clusters(page)
    else:
        st.markdown(":gray[No batch was taken yet.]")


def choose_state() -> None:
    """Write the chosen state into the address."""
    st.query_params.clear()
    if chosen := st.session_state["run_state"]:
        st.query_params["state"] = chosen
    st.session_state["runs_page"] = 1


with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    shown = [name for name in STATES if page.states.get(name) or name == state]
    st.pills("State", shown, default=state, key="run_state", on_change=choose_state, label_visibility="collapsed",
             format_func=lambda name: f"{name.capitalize()} {page.states.get(name, 0)}")
    st.markdown(":gray[:small[Select a run to see what it said]]", width="content")
if not page.runs:
    tables.nothing_here("filter_alt_off", "No run is in this state", "Choose another one above.")
    st.stop()
picked = ingestion_parts.runs_table(page, f"runs_{state}")
matching = page.states.get(state, 0) if state else total
if matching > ROWS:
    st.pagination(-(-matching // ROWS), key="runs_page")
asked = st.query_params.get("run", "")
chosen = page.runs[picked[0]].id if picked else int(asked) if asked.isdigit() else None
if chosen is not None:
    found = reads_operations.run_detail(chosen)
    if found is None:
        tables.nothing_here("search_off", "There is no such run", f"Run {chosen} was never started here.")
    else:
        ingestion_parts.run_card(*found, page.now)
