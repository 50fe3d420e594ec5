"""Finance overview: what was earned, what is owed, whether ledger and providers agree, and sums to dig into."""

import streamlit as st

from dashboard import charts, finance_parts, reads_finance, tables, words
from dashboard.access import require
from dashboard.finance_parts import Dig
from dashboard.reads_finance import Overview
from dashboard.words import count, money
from engine.users import Action


def figures(page: Overview) -> None:
    """Revenue, receivable, payments, and whether the ledger agrees with the providers."""
    late, off = page.receivable, page.off_micro
    course = page.month.course_micro(page.so_far.cost_micro)
    match = "does not match" if off else f"{money(page.unapplied_micro)} unapplied" if page.unapplied_micro else "matched"
    tables.kpi_row([
        tables.Kpi("Revenue, month to date", money(page.so_far.cost_micro, decimals=0),
                   f"on course for {money(course, decimals=0)}",
                   help="What the jobs that ended this month cost, billed or not. The course goes on at the same pace. "
                        "Months' minimums count once they are billed."),
        tables.Kpi("Receivable", money(late.total_micro, decimals=0),
                   f"{money(late.overdue_micro, decimals=0)} overdue" if late.overdue_micro else "nothing overdue",
                   colour="orange" if late.overdue_micro else "gray", help="Receipts that are issued and not paid."),
        tables.Kpi("Payments this month", money(page.received.total_micro, decimals=0), count(page.received.payments, "payment"),
                   help="Settled this month and not reverted."),
        tables.Kpi("Ledger against providers", money(off), match,
                   colour="red" if off else "orange" if page.unapplied_micro else "green",
                   help="What the ledger says providers hold, less what they were seen to be paid. Zero is right."),
    ])


def pictures(page: Overview) -> None:
    """Twelve months by meter, and what is owed by age."""
    left, right = st.columns([1.9, 1])
    with left, tables.card("Revenue by month", f"thousand {page.currency}, by meter, and billed up to months' minimums · * not over yet"):
        if any(any(amounts) for amounts in page.meters.values()):
            charts.stacked_months(page.months, page.meters, "revenue", unfinished=page.month.first, thousands=True,
                                  alt="Revenue of the last twelve months by meter")
        else:
            st.markdown(":gray[No job has ended in the last twelve months.]")
    with right, tables.card("Receivable by age", f"{page.currency}, days past due"):
        charts.ranking(page.ages["age"].to_list(), page.ages["total_micro"].to_list(), "ages",
                       colours=finance_parts.age_colours(), alt="Receivable by days past due")


def lists(page: Overview) -> None:
    """This month's largest accounts, and whether the books agree with the world."""
    left, right = st.columns([1.9, 1])
    with left, tables.card("Top accounts", "this month"):
        span = (reads_finance.start_of(page.months[-6], words.zone()), page.month.end)
        found = reads_finance.aggregates("account", page.currency, *span, {})
        finance_parts.top_accounts(reads_finance.last_months(found, page.months[-6:]).head(5), page.currency)
    with right, tables.card("Reconciliation"):
        finance_parts.reconciliation(page)


def dig_deeper(page: Overview) -> None:
    """Sums by month and account, partition, tier or payer, each to be opened by the others."""
    st.subheader("Dig deeper", anchor=False)
    dig = finance_parts.narrowing(Dig.from_address(page.months), page.months)
    found = reads_finance.aggregates(dig.by, page.currency, *dig.span(page.months, words.zone()), dig.only)
    if found.is_empty():
        tables.nothing_here("filter_alt_off", "No job ended here", "Nothing was used in this time by what is chosen above.",
                            lambda: st.button("Clear filters", on_click=dig.clear))
        return
    unbilled = int((found["cost_micro"] - found["billed_micro"]).sum())
    tables.sums(count(int(found["jobs"].sum()), "job"), money(int(found["cost_micro"].sum()), page.currency),
                f"{money(unbilled)} unbilled", dig.words())
    rows = finance_parts.sums_table(dig, found, page.currency)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        finance_parts.drill_bar(dig, found, rows)
        finance_parts.downloads(found, dig.by, page.currency, page.now.astimezone(words.zone()))


require(Action.SEE_FINANCE)
page = reads_finance.overview(reads_finance.currencies()[0])
month = page.month
tables.page_head("Finance overview", f"{month.first:%b %Y}, {month.day} of {month.days} days · all accounts · amounts in "
                 f"{page.currency}", page.freshness)
figures(page)
pictures(page)
lists(page)
dig_deeper(page)
