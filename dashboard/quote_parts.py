"""Parts of the quote page: the wishes (fields or a job script), the price with its steps, what is cheaper, and the price by start.

A script and its names are foreign text: they are read as data and shown escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import plotly.graph_objects as go
import streamlit as st

from dashboard import charts, navigation, tables, words
from dashboard.reads_quotes import Choices
from dashboard.words import money, plain
from engine.errors import DomainError
from engine.explain import ROUNDING_WORDS
from engine.quote_words import asked_words, price_text
from engine.quotes import Quote, Step, time_lines
from engine.sbatch import MOST_BYTES, Option, Request, overridden, request, script_options, script_text
from engine.services.quotes import Owing, Standing

FIELDS, SCRIPT = "Fields", "Script"               # they stand in the address as they are
WHERE = "In the form"
EXAMPLE = "#!/bin/bash\n#SBATCH --cpus-per-task=16\n#SBATCH --gres=gpu:a100:2\n#SBATCH --mem=128G\n#SBATCH --time=2-00:00:00\n"


def form(choices: Choices) -> tuple[Option, ...]:
    """Draw the wishes; the options they come to."""
    way = st.segmented_control("How to say it", [FIELDS, SCRIPT], default=FIELDS, required=True, key="by", bind="query-params",
                               label_visibility="collapsed")
    options = _script() if way == SCRIPT else _fields(choices)
    left, right = st.columns(2, wrap=False)
    start = left.text_input("Start", key="start", bind="query-params", placeholder="now", max_chars=40,
                            help=f"Such as 18:00, tomorrow, now+2hours or 2026-12-01T08:00, in {words.zone()}. Empty: now.")
    account = right.selectbox("Project", choices.accounts, index=None, key="project", bind="query-params", placeholder="None",
                              help="The Slurm account it runs in, where a project has prices of its own.")
    return overridden(options, _given({"start": start, "account": account}))


def _fields(choices: Choices) -> tuple[Option, ...]:
    one, two, three = (st.columns(2, wrap=False) for _ in range(3))
    cpus = one[0].number_input("CPU cores", 1, 1_000_000, 16, 1, key="cpus", bind="query-params")
    mem = one[1].text_input("Memory", "64G", key="mem", bind="query-params", max_chars=20, help="Of the whole job: 512M, 64G, 1T")
    gpus = two[0].number_input("GPUs", 0, 100_000, 0, 1, key="gpus", bind="query-params")
    model = two[1].selectbox("GPU model", choices.models, index=None, key="model", bind="query-params", placeholder="Any",
                             accept_new_options=True, disabled=not gpus)
    time = three[0].text_input("Time, at most", "12:00:00", key="time", bind="query-params", max_chars=20,
                               help="As sbatch takes it: 90 (minutes), 12:00:00, 2-12:00:00")
    nodes = three[1].number_input("Nodes", 1, 100_000, 1, 1, key="nodes", bind="query-params")
    return _given({"cpus": str(cpus), "mem-total": mem, "gpus": str(gpus) if gpus else "", "gpu-model": (model or "") if gpus else "",
                   "time": time, "nodes": str(nodes)})


def _script() -> tuple[Option, ...]:
    text = st.text_area("Job script", key="script", height=236, max_chars=MOST_BYTES, placeholder=EXAMPLE,
                        help="Its #SBATCH lines are read, up to the first command; nothing is run.")
    with st.popover("Upload a script", icon=":material/upload_file:"):
        st.file_uploader("A job script", key="upload", max_upload_size=4, on_change=_take_upload)
    if refusal := st.session_state.get("upload_refusal"):
        refuse(refusal)
    return script_options(text, "The script") if text and text.strip() else ()


def _take_upload() -> None:
    file = st.session_state.get("upload")
    st.session_state["upload_refusal"] = ""
    if file is None:
        return
    try:
        st.session_state["script"] = script_text(file.getvalue(), file.name)
    except DomainError as refusal:
        st.session_state["upload_refusal"] = refusal.sentence


def _given(values: dict[str, str | None]) -> tuple[Option, ...]:
    return tuple(Option(name, value.strip(), WHERE) for name, value in values.items() if value and value.strip())


def read(options: Sequence[Option], choices: Choices) -> Request:
    """What the options ask for; refusals are raised."""
    return request(options, choices.now, words.zone())


def tier_choice(choices: Choices) -> str:
    """The tier it is priced at: one's own, or any for whoever sees the rate book."""
    if not choices.tiers:
        return choices.tier
    options = sorted({*choices.tiers, choices.tier})
    return st.selectbox("Tier", options, options.index(choices.tier), key="tier", bind="query-params") or choices.tier


def refuse(sentence: str) -> None:
    """A refusal, in its place."""
    st.error(plain(sentence), icon=":material/error:")


def price(made: Quote) -> None:
    """The total and the steps that add up to it."""
    currency = made.card.currency
    st.metric(f"At most, {currency}", total_text(made, made.total_micro))
    st.markdown(tables.small(f"{plain(asked_words(made.request))}, from {words.moment(made.start)} to {words.moment(made.end)}"))
    factor = {"factor": tables.number_column("× time", 74, 4)} if any(step.factor not in ("", "1") for step in made.steps) else {}
    tables.table([_row(step, shown) for step, shown in zip(made.steps, made.shown_micro, strict=True)],
                 {"what": tables.text_column("Meter", 112), "quantity": tables.number_column("Quantity", 100, 4),
                  "unit": tables.text_column("", 90), "price": tables.money_column(f"× {currency} per unit", 116), **factor,
                  "amount": tables.money_column(f"= {currency}", 104, 4)}, key="steps", alt="Quantity, price and amount of each meter")
    said = [f"{plain(step.what)}: {plain(step.detail)}" for step in made.steps if step.detail]
    said += [plain(line) for line in time_lines(made, words.zone())]
    said.append(f"Card {plain(made.card.name)} · policy *{made.card.policy}* · rounding *{ROUNDING_WORDS[made.card.rounding]}*")
    st.markdown("  \n".join(tables.small(line) for line in said))


def _row(step: Step, shown_micro: int) -> dict[str, object]:
    return {"what": step.what, "quantity": step.quantity_micro / 1e6 if step.unit else None, "unit": f"{step.unit}s" if step.unit else "",
            "price": tables.major(step.price_micro), "factor": float(step.factor.rstrip("…").replace(",", "")) if step.factor else None,
            "amount": tables.major(shown_micro)}


def total_text(made: Quote, micro: int) -> str:
    """An amount of the quote: to the smallest coin, or exactly where the card does not round jobs."""
    return price_text(micro, made.card.currency)


def notes(made: Quote) -> None:
    """What the price does not know, and how it is meant."""
    st.markdown("  \n".join(tables.small(plain(note)) for note in made.notes))


def cheaper(made: Quote) -> None:
    """What costs less, by the same prices."""
    currency = made.card.currency
    if not made.alternatives:
        st.markdown(tables.small("Nothing that was tried costs less: another start within seven days, other GPUs of the card, less "
                                 "memory."))
        return
    tables.table(
        [{"what": one.what, "start": words.moment(one.start), "cost": one.total_micro / 1e6, "saves": one.saves_micro / 1e6}
         for one in made.alternatives],
        {"what": tables.text_column("Instead", 190), "start": tables.text_column("Start", 110),
         "cost": tables.money_column(f"Cost, {currency}", 100), "saves": tables.money_column("Saves", 90)},
        key="cheaper", alt="What costs less")


def owing(found: Owing) -> None:
    """What the payer owes today."""
    def sums(micro: dict[str, int]) -> str:
        return " and ".join(money(amount, currency) for currency, amount in sorted(micro.items())) or "nothing"
    tables.rows_of([("Open receipts", sums(dict(found.open_receipts))), ("Unbilled so far this month", sums(dict(found.unbilled)))])


def covered(found: Standing) -> None:
    """What the wallet holds beside the quote; where something is missing, the way to fill it."""
    cover, currency = found.cover, found.cover.wallet.currency
    def text(micro: int) -> str:
        return f"{price_text(micro, currency)} {currency}"
    rows = [("Available now", text(cover.wallet.available_micro))]
    rows += [("Frozen", text(cover.wallet.frozen_micro))] if cover.wallet.frozen_micro else []
    rows.append(("This quote would leave", text(cover.left_micro)) if cover.covers else ("Missing", text(cover.missing_micro)))
    owed = cover.missing_with_owed_micro
    rows += [("Missing with what is owed", text(owed))] if owed > cover.missing_micro else []
    tables.rows_of(rows)
    if owed and found.top_up:
        st.page_link(navigation.page_of("top_up"), label="Add funds", icon=":material/add_card:",
                     query_params={"owner": cover.wallet.owner})


def by_start(made: Quote) -> None:
    """The price by when it starts, over seven days; the chosen start is the dot."""
    tone, zone = charts.theme(), words.zone()
    def local(instant: datetime) -> str:
        return instant.astimezone(zone).strftime("%Y-%m-%d %H:%M")
    figure = go.Figure([
        go.Scatter(x=[local(at) for at, _ in made.curve], y=[micro / 1e6 for _, micro in made.curve], mode="lines", line={
            "color": charts.BAR[tone], "width": 1.5, "shape": "hv"}, hovertemplate="%{y:,.2f}", name="Cost"),
        go.Scatter(x=[local(made.start)], y=[made.total_micro / 1e6], mode="markers", hovertemplate="%{y:,.2f}", name="This start",
                   marker={"color": charts.PALETTE[tone]["cpu"], "size": 9})])
    figure.update_layout(height=210, margin={"l": 0, "r": 0, "t": 8, "b": 0}, hovermode="x unified", showlegend=False)
    figure.update_xaxes(showgrid=False, fixedrange=True, title=None, tickformat="%a %-d %b", dtick=86_400_000)
    figure.update_yaxes(tickformat=",.0f", nticks=5, zeroline=False, fixedrange=True, title=None, rangemode="tozero")
    st.plotly_chart(figure, key="by_start", config=charts.CONFIG, alt="Cost by when it starts, over seven days")


def nothing_yet() -> None:
    """Before a script is there."""
    tables.nothing_here("request_quote", "Paste or upload a job script",
                        "Its #SBATCH lines say what it needs and for how long; nothing is run and nothing is kept.")
