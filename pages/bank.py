"""Bank statements: what came by transfer, line by line, whose it is, and what still waits for somebody to say so."""

import polars as pl
import streamlit as st

from dashboard import access, bank_parts, money_parts, reads_bank, tables
from dashboard.words import count, day, money
from engine.bank import LineState
from engine.users import Action

STATES = tuple(str(state) for state in LineState)
BRING = {"file": "Bring a CSV…", "line": "Add one line…"}
person = access.require(Action.SEE_FINANCE)
may = person.may(Action.SETTLE)


def figures(page: reads_bank.Statement) -> None:
    """What waits, and what was decided."""
    waits = page.counts.get("waiting", 0)
    sums = ", ".join(money(micro, currency) for currency, micro in sorted(page.waiting_micro.items())) or money(0, page.currency)
    proposed = sum(bool(named) for named in page.named)
    tables.kpi_row([
        tables.Kpi("Waiting", sums, count(waits, "line"), colour="orange" if waits else "gray"),
        tables.Kpi("Naming a payment", f"{proposed:,}", "of those below"),
        tables.Kpi("Applied", f"{page.counts.get('applied', 0):,}", "all time"),
        tables.Kpi("Set aside", f"{page.counts.get('set_aside', 0):,}", "nobody's here"),
    ])


def acting(page: reads_bank.Statement, picked: list[int]) -> None:
    """What can be done about the selected line."""
    line = page.lines[picked[0]] if picked else None
    waits = line is not None and line.state is LineState.WAITING
    off_already = line is not None and line.state is LineState.SET_ASIDE
    with st.container(horizontal=True, vertical_alignment="center"):
        use = st.button("Say whose it is…", icon=":material/person_search:", disabled=not waits, key="apply")
        off = st.button("Set aside…", icon=":material/do_not_disturb_on:", disabled=not waits, key="aside")
        back = st.button("Take up again", icon=":material/undo:", disabled=not off_already, key="again")
        if line is None:
            st.markdown(tables.small("Select a line to act on it"), width="content")
    if line is not None and use:
        bank_parts.apply(line, page.named[picked[0]])
    elif line is not None and off:
        bank_parts.aside(line)
    elif line is not None and back:
        bank_parts.again(line)


state, text, _ = money_parts.chosen(STATES)
page = reads_bank.statement(state or "", text)
no_code = "" if page.account else " · no account is set: payers see no QR code"
wanted = tables.page_head(
    "Bank statement", f"transfers that came in, as the bank says it{no_code}",
    None, (lambda: st.menu_button("Bring…", list(BRING), format_func=BRING.__getitem__, icon=":material/upload_file:", type="primary",
                                  key="bring_menu")) if may else None)
if wanted == "file":
    bank_parts.bring_file(page.currency)
elif wanted == "line":
    bank_parts.add_line(page.currency)
figures(page)
money_parts.filters(page.counts, STATES, "lines", "Payer, reference or the bank's number")
if not page.lines:
    if page.counts:
        tables.nothing_here("filter_alt_off", "None matches", "No line is in this state with these words.",
                            lambda: st.button("Clear filters", on_click=money_parts.clear))
    else:
        tables.nothing_here("account_balance", "No statement yet", "Bring the bank's CSV, or add a line that you read off it.")
    st.stop()
tables.sums(count(len(page.lines), "line"))
rows = reads_bank.as_rows(page)
picked = tables.table(
    rows.select("currency", "text", "names", "note", day=pl.Series([day(line.booked_on, page.now) for line in page.lines], dtype=pl.String),
                amount=pl.col("amount_micro") / 1e6, state=pl.concat_list(pl.col("state"))),
    {"day": tables.text_column("Day", 76), "text": tables.text_column("Words", 290), "names": tables.text_column("Names payment", 176),
     "note": tables.text_column("What became of it", 210), "amount": tables.money_column("Amount", 90),
     "currency": tables.text_column("", 46), "state": tables.state_column("State", 92, STATES)},
    key=tables.key_of("bank", [f"{line.id}{line.state}" for line in page.lines]), select="single-row" if may else "",
    alt="Lines of bank statements")
if may:
    acting(page, picked)
money_parts.foot(0, lambda: rows, "bank-statement", page.now)
