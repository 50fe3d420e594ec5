"""Rate cards: what each tier and project pays per unit now, what comes, what was; and a new dated card with its what-if."""

import streamlit as st

from dashboard import access, rate_drafts, rate_parts, reads_operations, tables, what_if_parts
from dashboard.words import count, plain
from engine.rate_text import card_to_text
from engine.rates import RateCard
from engine.users import Action

person = access.require(Action.SEE_RATES)
may_publish = person.may(Action.SET_RATES)
book = reads_operations.rate_book()
drafted = st.query_params.get("new", "")


def start_draft(line: str) -> None:
    """Show the form for a new card of `line`, filled from its newest."""
    rate_drafts.clear_form()
    st.query_params["new"] = line


def leave_draft() -> None:
    """Back to the rate book."""
    rate_drafts.clear_form()
    st.query_params.clear()


def draft_page(line: str) -> None:
    """A new card: by form with the last 90 days by it, or as text with what is in its way."""
    newest = book.of(line)[0]
    if st.session_state.get("rate_for") != line:
        rate_drafts.fill_form(newest, rate_drafts.first_day(newest, book.now))
    rate_drafts.keep_form()
    whose = count(book.payers.get(line, 0), "payer") if newest.tier else "all tiers"
    tables.page_head(f"New card for {plain(line)}", f"starts from {plain(newest.name)} · {whose} · amounts in {newest.currency}",
                     action=lambda: st.button("Back to the rate book", icon=":material/arrow_back:", on_click=leave_draft))
    how = st.segmented_control("How", ["form", "text"], default="form", required=True, key="as", bind="query-params",
                               label_visibility="collapsed")
    if how == "text":
        by_text()
    else:
        by_form(newest)


def by_form(newest: RateCard) -> None:
    """What is simple, field by field."""
    left, right = st.columns([1.9, 1])
    with left, tables.card("Prices"):
        card = rate_drafts.form(newest)
    with right, tables.card("As text", "what ./corehours rates publish reads"):
        if card:
            st.code(card_to_text(card), language="yaml")
        rate_drafts.download([card] if card else [], newest.line)
    if card is None:
        return
    with what_if_parts.underway() as progress:
        found = rate_drafts.what_if(card, person, progress)
    if found:
        rate_drafts.show_what_if(found, card.currency)
    else:
        tables.nothing_here("query_stats", "Nothing to compare with", f"No job of {plain(card.line)} ended in the last 90 days.")
    if publish_button():
        rate_drafts.ask_publish(card, book, found)


def by_text() -> None:
    """Everything a card can say, for any tiers and projects."""
    left, right = st.columns([1.1, 1])
    with left, tables.card("Cards", "what ./corehours rates publish reads"):
        text = rate_drafts.text_area()
    with right, tables.card("What this would publish"):
        cards = rate_drafts.preview(text, book)
        st.download_button("YAML", text, "rates.yaml", "text/yaml", icon=":material/download:", on_click="ignore")
    if publish_button(disabled=cards is None) and cards:
        rate_drafts.ask_publish_text(text, cards, book)


def publish_button(disabled: bool = False) -> bool:
    """The one way to publish, at the foot."""
    with st.container(horizontal=True, horizontal_alignment="right"):
        return st.button("Publish…", type="primary", icon=":material/sell:", key="publish", disabled=disabled)


if may_publish and drafted in book.lines:
    draft_page(drafted)
    st.stop()

chosen = tables.page_head(
    "Rate cards", "prices per unit by tier and project · a published card is never edited",
    action=(lambda: st.menu_button("New card", book.lines, icon=":material/add:", type="primary",
                                   format_func=lambda line: f"for {line}")) if may_publish else None)
if chosen:
    start_draft(chosen)
    st.rerun()
for start in range(0, len(book.lines), 3):
    for column, line in zip(st.columns(3), book.lines[start:start + 3], strict=False):
        with column:
            rate_parts.line_card(book, line)

with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    shown = st.pills("Tier or project", book.lines, bind="query-params", key="tier", label_visibility="collapsed")
    st.markdown(":gray[:small[Select a card to see what it says and what changed]]", width="content")
cards = [card for line in book.lines if shown in (None, line) for card in book.of(line)]
picked = rate_parts.history(book, cards, f"history_{shown}")
if picked:
    rate_parts.one_card(book, cards[picked[0]])
