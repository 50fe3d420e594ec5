"""The dialog that takes a job's cost apart: what was measured, where the figure comes from, the price, the product."""

from __future__ import annotations

from datetime import date

import streamlit as st

from dashboard import navigation, reads, tables, words
from dashboard.job_table import shown
from engine.charge_parts import Kind
from engine.commitment_text import whose, why
from engine.commitments import MonthStanding
from engine.errors import DomainError
from engine.explain_text import card_line, max_of_words, month_words, record_lines, rounding_words, time_lines, valid_from
from engine.explained import Explained, Factor, Run
from engine.money import amount_text
from engine.users import Action, Person

FOUR, SIX = 4, 6
UNITS = words.METER_UNITS | {"node": "node-h", "billing": "unit-h"}
KEPT = [name for name in Run.__slots__ if name != "job_id_raw"]


def forget_job() -> None:
    """The dialog was closed: its job leaves the address."""
    st.query_params.pop("job", None)


@st.dialog("Explain this cost", width="large", icon=":material/function:", on_dismiss=forget_job)
def explain_cost(person: Person, run_key: str) -> None:
    """Show how the price of one run was made, or why there is none."""
    try:
        found = reads.explained(person, run_key)
    except DomainError as refusal:
        st.error(words.plain(refusal.sentence), icon=":material/error:")
        return
    if found.disagrees:
        st.error("The books hold another cost than the rating function makes of this record; tell whoever runs the centre. "
                 + words.plain(found.disagrees), icon=":material/error:")
    _charge(found)
    for because in found.reasons:
        st.markdown(words.plain(because.sentence))
    _records(found)
    _receipt_button(person, found)


@st.dialog("Explain this minimum", width="medium", icon=":material/function:")
def explain_minimum(person: Person, payer: str, month: date, line: str) -> None:
    """Show what a month costs a payer at least on one line of the book, and what became of it."""
    found, now = reads.minimums(person, payer, month)
    for one in (standing for standing in found if standing.due.of.line == line):
        currency = one.due.minimum.card.currency
        st.markdown(f"{words.month(month)}: **{words.plain(payer)}** pays at least "
                    f"**{words.money(one.due.minimum.micro, currency)}** at {words.plain(whose(line))}.")
        with st.container(gap="xxsmall"):
            tables.rows_of(_minimum_rows(one))
        st.markdown(words.plain(why(one, now, words.zone())))


def _minimum_rows(one: MonthStanding) -> list[tuple[str, str]]:
    """What the minimum comes from, what the usage leaves of it, and what receipts say."""
    due = one.due
    shares = [(words.plain(f"Card {share.rate_card}, {share.days} of {due.minimum.days} days"), words.money(share.micro))
              for share in due.minimum.shares]
    lines = [(words.plain(f"Receipt {line.number} ({line.status}), {line.kind}"), words.money(line.cost_micro)) for line in one.lines]
    return [*shares, ("Its usage costs", words.money(due.used_micro)), ("Which leaves", words.money(due.due_micro)), *lines]


def _charge(found: Explained) -> None:
    """The factors, then the card and the total."""
    run, currency = found.run, found.run.currency
    st.markdown(tables.small(_about(run)))
    tables.table(_factor_rows(found), _factor_columns(found), key="factors", alt="Quantity, price and amount of each meter")
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(tables.small(_card_line(found)), width="content")
        st.markdown(f"**Total {words.money(run.cost_micro, currency)}**", width="content")
    for line in (max_of_words(found), month_words(found), *time_lines(found)):
        if line:
            st.markdown(words.plain(line))


def _records(found: Explained) -> None:
    """What the explanation rests on: card and payer, ingest run, corrections, receipt lines, and the record itself."""
    with st.expander("Where it comes from", type="compact"), st.container(gap="xxsmall"):
        for line in (card_line(found, words.zone()), *record_lines(found, words.zone())):
            st.markdown(tables.small(words.plain(line)))
    with st.expander("The record as it is kept", type="compact"):
        st.dataframe(tables.harmless(_record(found.run)), hide_index=True, height=280, key="record",
                     row_height=tables.ROW_HEIGHT, column_config={
            "field": st.column_config.TextColumn("Column", width=190), "value": st.column_config.TextColumn("Value", width=480)})


def _receipt_button(person: Person, found: Explained) -> None:
    live = found.live
    opens = live and (person.payer == found.run.payer or person.may(Action.SEE_ALL))
    here = live is not None and st.query_params.get("id") == live.number
    if live and opens and not here and st.button("Open receipt", icon=":material/receipt_long:", key="open_receipt"):
        st.switch_page(navigation.page_of("receipt"), query_params={"id": live.number})


def _about(run: Run) -> str:
    ended = f"ended {words.moment(run.end_at)}" if run.ended else (
        f"running since {words.moment(run.start_at)}" if run.start_at else f"waiting since {words.moment(run.submit_at)}")
    parts = [f"Job {run.job_id}", shown(run.job_name) or words.NOTHING, run.account_name, run.user_name, run.state.lower(), ended]
    return " · ".join(words.plain(part) for part in parts)


def _factor_rows(found: Explained) -> list[dict[str, object]]:
    time = found.explanation.weighing.factor
    rows: list[dict[str, object]] = [
        {"meter": factor.label, "source": factor.figures, "quantity": factor.quantity_micro / 1e6, "unit": _unit(factor),
         "price": factor.price_micro / 1e6, "time": float(time), "amount": factor.shown_micro / 1e6 if factor.part.added else None}
        for factor in found.explanation.factors]
    rounding = found.explanation.rounding_micro
    return [*rows, {"meter": "Rounding", "source": rounding_words(found), "quantity": None, "unit": "",
                    "price": None, "time": None, "amount": rounding / 1e6}]


def _unit(factor: Factor) -> str:
    return UNITS[factor.meter] if factor.part.kind is Kind.UNITS else factor.unit


def _factor_columns(found: Explained) -> dict[str, object]:
    currency, plain = found.run.currency, found.explanation.weighing.factor == 1
    decimals = 2 if all(factor.price_micro % 10_000 == 0 for factor in found.explanation.factors) else SIX
    time = {} if plain else {"time": tables.number_column("× Time", 74, FOUR, "What the card's modifiers make of the time it ran in")}
    return {"meter": tables.text_column("Meter", 108), "source": tables.text_column("Quantity comes from", 300 if plain else 252),
            "quantity": tables.number_column("Quantity", 92, FOUR), "unit": tables.text_column("Unit", 66),
            "price": tables.money_column(f"× {currency} per unit", 108, decimals), **time,
            "amount": tables.money_column(f"= {currency}", 100, FOUR)}


def _card_line(found: Explained) -> str:
    card, rounding = found.card, found.explanation.rounding_micro
    return (f"Card {words.plain(card.name)}, valid from {words.plain(valid_from(card.valid_from, words.zone()))} · "
            f"policy *{found.run.policy}* · rounding *{rounding_words(found)}*, difference {amount_text(rounding, decimals=FOUR)}")


def _record(run: Run) -> list[dict[str, str]]:
    return [{"field": name, "value": words.NOTHING if (value := getattr(run, name)) is None else str(value)} for name in KEPT]
