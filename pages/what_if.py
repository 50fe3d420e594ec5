"""What if: a past period by another card, whom the difference falls on, and making it so."""

import streamlit as st

from dashboard import access, reads_operations, reads_what_if, tables, what_if_parts
from dashboard.words import plain
from engine.users import Action

person = access.require(Action.SEE_FINANCE)
book = reads_operations.rate_book()

tables.page_head("What if", "what jobs would have cost by another card · nothing is written before you publish")
start, first, last, mode = what_if_parts.filters(book)
with tables.card("Draft", f"starts from {start.name}, {what_if_parts.since_words(start, book.now)}"):
    text = what_if_parts.draft(start, mode)
if not text:
    st.stop()
with what_if_parts.underway() as progress:
    answer = reads_what_if.answer(text, first, last, person, progress)
if answer.effect is None:
    st.error(plain(answer.refusal), icon=":material/error:")
    st.stop()
if answer.effect.jobs:
    what_if_parts.figures(answer.effect)
    what_if_parts.pictures(answer.effect, first, last)
    what_if_parts.payers(answer.effect, book.now)
else:
    tables.nothing_here("query_stats", "No job to price", "No job that ended on these days is priced by the draft.")
if person.may(Action.SET_RATES):
    what_if_parts.publishing(answer, book.now)
