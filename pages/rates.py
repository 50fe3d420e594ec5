"""Rate cards: what each tier pays per unit now, what comes, what was; and a new dated card with its what-if."""

import streamlit as st

from dashboard import access, rate_parts, reads_operations, tables
from dashboard.words import count
from engine.users import Action

person = access.require(Action.SEE_RATES)
may_publish = person.may(Action.SET_RATES)
book = reads_operations.rate_book()
drafted = st.query_params.get("new", "")


def start_draft(tier: str) -> None:
    """Show the form for a new card of `tier`, filled from its newest."""
    rate_parts.clear_form()
    st.query_params["new"] = tier


def leave_draft() -> None:
    """Back to the rate book."""
    rate_parts.clear_form()
    st.query_params.clear()


def draft_page(tier: str) -> None:
    """The form, its text beside it, and the last 90 days by it."""
    newest = book.of(tier)[0]
    if st.session_state.get("rate_for") != tier or "rate_cpu" not in st.session_state:
        rate_parts.fill_form(newest, rate_parts.first_day(newest, book.now))
        st.session_state.update({"rate_for": tier, "rate_note": ""})
    tables.page_head(f"New card for {tier}", f"starts from {newest.name} · {count(book.payers.get(tier, 0), 'payer')} · "
                     f"amounts in {newest.currency}",
                     action=lambda: st.button("Back to the rate book", icon=":material/arrow_back:", on_click=leave_draft))
    left, right = st.columns([1.9, 1])
    with left, tables.card("Prices"):
        card = rate_parts.form(newest)
    with right, tables.card("As text", "what ./corehours rates publish reads"):
        if card:
            st.code(rate_parts.card_text(card), language="yaml")
        with st.container(horizontal=True):
            rate_parts.paste(tier)
            st.download_button("YAML", rate_parts.card_text(card) if card else "", f"{tier}.yaml", "text/yaml",
                               icon=":material/download:", on_click="ignore", disabled=card is None)
    if card is None:
        return
    found = rate_parts.what_if(card, person)
    if found:
        rate_parts.show_what_if(found, card.currency)
    else:
        tables.nothing_here("query_stats", "Nothing to compare with", f"No job of tier {tier} ended in the last 90 days.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Publish…", type="primary", icon=":material/sell:", key="publish"):
            rate_parts.ask_publish(card, book, found)


if may_publish and drafted in book.tiers:
    draft_page(drafted)
    st.stop()

chosen = tables.page_head(
    "Rate cards", "prices per unit by tier · a published card is never edited",
    action=(lambda: st.menu_button("New card", book.tiers, icon=":material/add:", type="primary",
                                   format_func=lambda tier: f"for {tier}")) if may_publish else None)
if chosen:
    start_draft(chosen)
    st.rerun()
for start in range(0, len(book.tiers), 3):
    for column, tier in zip(st.columns(3), book.tiers[start:start + 3], strict=False):
        with column:
            rate_parts.tier_card(book, tier)

with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    shown = st.pills("Tier", book.tiers, bind="query-params", key="tier", label_visibility="collapsed")
    st.markdown(":gray[:small[Select a card to see its text]]", width="content")
cards = [card for tier in book.tiers if shown in (None, tier) for card in book.of(tier)]
picked = rate_parts.history(book, cards, f"history_{shown}")
if picked:
    card = cards[picked[0]]
    with tables.card(card.name, card.note):
        st.code(rate_parts.card_text(card), language="yaml")
        st.download_button("YAML", rate_parts.card_text(card), f"{card.name}.yaml", "text/yaml", icon=":material/download:",
                           on_click="ignore")
