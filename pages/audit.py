"""Audit: who changed what and when, entry by entry, and proof that nothing was changed since."""

import polars as pl
import streamlit as st

from dashboard import access, actions, audit_words, exports, reads_operations, tables
from dashboard.audit_filters import clear, filters, the_filter
from dashboard.navigation import page_of
from dashboard.reads_operations import AuditLine
from dashboard.words import count, moment, plain
from engine.users import Action

access.require(Action.SEE_AUDIT)
ROWS = 50


def verify() -> None:
    """Walk the chain with progress, write down what was found, and say it."""
    with placeholder, tables.card("Verification"):
        bar = st.progress(0.0, "Reading the chain")
        found = reads_operations.verify_chain(
            lambda done, of: bar.progress(min(1.0, done / max(1, of)), f"{done:,} of {of:,} entries"))
        bar.empty()
    if actions.act(lambda tx: reads_operations.note_verification(tx, found), "verify").ok:
        st.rerun()


def verdict(last: AuditLine | None) -> None:
    """What the last walk over the chain found."""
    if last is None:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.badge("Not verified yet", color="gray", icon=":material/help:")
            st.markdown(":gray[Nobody has walked the chain so far. Verify it to see that nothing was changed.]", width="content")
        return
    facts, when = last.facts, f"{moment(last.at)} by {plain(last.actor)}"
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        if facts["ok"]:
            st.badge("Chain verified", color="green", icon=":material/verified_user:")
            st.markdown(f"**{count(facts['checked'], 'entry', 'entries')}**, the head and the anchors outside the database agree "
                        f":gray[· {when}]", width="content")
        else:
            st.badge("Chain broken", color="red", icon=":material/gpp_bad:")
            st.markdown(f"**Entry {facts['first_bad']} does not hold**: {plain(facts['reason'])}. The {facts['checked']:,} before"
                        f" it do. :gray[· {when}]", width="content")


def detail(line: AuditLine) -> None:
    """One entry: the sentence, the facts that were signed, the hash, the way to its subject."""
    kind, _, name = line.subject.partition(":")
    with tables.card(f"Entry {line.id:,}", moment(line.at)):
        st.text(audit_words.sentence(line))
        left, right = st.columns([1, 1.6])
        with left:
            tables.rows_of([("Who", line.actor), ("Action", line.action), ("Subject", line.subject),
                            ("Signed with key", line.key_id), ("Hash", f"{line.hash[:12]}…{line.hash[-8:]}")])
            if kind == "receipt" and st.button("Open receipt", icon=":material/receipt:"):
                st.switch_page(page_of("receipt"), query_params={"id": name})
        with right:
            rows = audit_words.facts_rows(line)
            if rows:
                tables.table(pl.DataFrame({"fact": [row[0] for row in rows], "value": [row[1] for row in rows]}),
                             {"fact": tables.text_column("Fact", 140), "value": tables.text_column("Value", 440)},
                             key=f"facts_{line.id}", alt="The facts of the entry")


only = the_filter()
number = int(st.session_state.get("audit_page", 1))
page = reads_operations.audit_view(only, ROWS, (number - 1) * ROWS)
pressed = tables.page_head("Audit", "every change of money, prices and rights, each entry signed over the one before it",
                           action=lambda: st.button("Verify chain", icon=":material/verified_user:", type="primary"))
placeholder = st.empty()
if pressed:
    verify()
with placeholder:
    verdict(page.verified)
filters(page.actors, page.actions)
if not page.lines:
    tables.nothing_here("manage_search", "No entry matches", "Nothing was written with this actor, action, subject and period.",
                        lambda: st.button("Clear filters", on_click=clear))
    st.stop()

with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    tables.sums(count(page.entries, "entry", "entries"))
    st.markdown(":gray[:small[Select a row to read it whole]]", width="content")
picked = tables.table(
    pl.DataFrame({"id": [str(line.id) for line in page.lines], "at": [moment(line.at, page.now) for line in page.lines],
                  "actor": [line.actor for line in page.lines], "action": [line.action for line in page.lines],
                  "what": [audit_words.sentence(line) for line in page.lines]}),
    {"id": tables.text_column("Entry", 70), "at": tables.text_column("When", 120), "actor": tables.text_column("Who", 120),
     "action": tables.text_column("Action", 140), "what": tables.text_column("What", 550)},
    key=f"audit_{number}_{hash(only)}", select="single-row", alt="Audit entries, newest first")
with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    st.pagination(max(1, -(-page.entries // ROWS)), key="audit_page")
    st.download_button("CSV", lambda: exports.csv(audit_words.as_frame(reads_operations.audit_frame(only))),
                       f"corehours-audit-{page.now:%Y-%m-%d}.csv", "text/csv", icon=":material/download:", on_click="ignore")
if picked:
    detail(page.lines[picked[0]])
