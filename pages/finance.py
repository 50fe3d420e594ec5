"""Finance overview: what was earned, what is owed, whether ledger and providers agree, and sums to dig into."""

import polars as pl
import streamlit as st

from dashboard import charts, exports, reads_finance, tables, words
from dashboard.access import require
from dashboard.finance_parts import Dig, age_colours, drill_bar, narrowing, reconciliation
from dashboard.words import count, money
from engine.users import Action

require(Action.SEE_FINANCE)
currency = reads_finance.currencies()[0]
page = reads_finance.overview(currency)
month, zone = page.month, words.zone()
tables.page_head("Finance overview", f"{month.first:%b %Y}, {month.day} of {month.days} days · all accounts · amounts in {currency}",
                 page.freshness)

late, off = page.receivable, page.off_micro + page.unapplied_micro
tables.kpi_row([
    tables.Kpi("Revenue, month to date", money(page.so_far.cost_micro, decimals=0),
               f"on course for {money(month.course_micro(page.so_far.cost_micro), decimals=0)}",
               help="What the jobs that ended this month cost, billed or not. The course goes on at the same pace."),
    tables.Kpi("Receivable", money(late.total_micro, decimals=0),
               f"{money(late.overdue_micro, decimals=0)} overdue" if late.overdue_micro else "nothing overdue",
               colour="orange" if late.overdue_micro else "gray", help="Receipts that are issued and not paid."),
    tables.Kpi("Payments this month", money(page.received.total_micro, decimals=0), count(page.received.payments, "payment"),
               help="Settled this month and not reverted."),
    tables.Kpi("Ledger against providers", money(page.off_micro),
               f"{money(page.unapplied_micro)} unapplied" if page.unapplied_micro else "matched" if not off else "does not match",
               colour="green" if not off else "orange" if not page.off_micro else "red",
               help="What the ledger says providers hold, less what they were seen to be paid. Zero is right."),
])

left, right = st.columns([1.9, 1])
with left, tables.card("Revenue by month", f"thousand {currency}, by meter · * this month is not over"):
    if any(any(amounts) for amounts in page.meters.values()):
        charts.stacked_months(page.months, page.meters, "revenue", unfinished=month.first, thousands=True,
                              alt="Revenue of the last twelve months by meter")
    else:
        st.markdown(":gray[No job has ended in the last twelve months.]")
with right, tables.card("Receivable by age", f"{currency}, days past due"):
    charts.ranking(page.ages["age"].to_list(), page.ages["total_micro"].to_list(), "ages", colours=age_colours(),
                   alt="Receivable by days past due")

left, right = st.columns([1.9, 1])
with left, tables.card("Top accounts", "this month"):
    span = (reads_finance.start_of(page.months[-6], zone), month.end)
    top = reads_finance.last_months(reads_finance.aggregates("account", currency, *span, {}), page.months[-6:]).head(5)
    if top.is_empty():
        st.markdown(":gray[No job has ended this month yet.]")
    else:
        tables.table(
            top.select("name", "jobs", "course", cost=pl.col("cost_micro") / 1e6,
                       unbilled=(pl.col("cost_micro") - pl.col("billed_micro")) / 1e6),
            {"name": tables.text_column("Account", 150), "jobs": tables.number_column("Jobs", 64),
             "course": st.column_config.AreaChartColumn("Last 6 months", width=170, y_min=0),
             "unbilled": tables.money_column(f"Unbilled, {currency}", 118), "cost": tables.money_column(f"Cost, {currency}", 110)},
            key="top_accounts", alt="Accounts with the highest cost this month")
with right, tables.card("Reconciliation"):
    reconciliation(page)

dig = Dig.from_address(page.months)
with tables.card("Dig deeper", "ended jobs by month, billed or not"):
    dig = narrowing(dig, page.months)
    found = reads_finance.aggregates(dig.by, currency, *dig.span(page.months, zone), dig.only)
    if found.is_empty():
        tables.nothing_here("filter_alt_off", "No job ended here", "Nothing was used in this month by what is chosen above.",
                            lambda: st.button("Clear filters", on_click=dig.clear))
        st.stop()
    tables.sums(count(int(found["jobs"].sum()), "job"), money(found["cost_micro"].sum(), currency),
                f"{money((found['cost_micro'] - found['billed_micro']).sum())} unbilled", dig.words())
    rows = tables.table(
        found.select(month=pl.col("month").dt.strftime("%b %Y"), name="name", jobs="jobs",
                     cpu=pl.col("cpu_core_seconds") / 3600, gpu=pl.col("gpu_seconds") / 3600, mem=pl.col("mem_mib_seconds") / 3600 / 1024,
                     unbilled=(pl.col("cost_micro") - pl.col("billed_micro")) / 1e6, cost=pl.col("cost_micro") / 1e6),
        {"month": tables.text_column("Month", 90), "name": tables.text_column(dig.by.capitalize(), 190),
         "jobs": tables.number_column("Jobs", 80), "cpu": tables.number_column("CPU, core-h", 118),
         "gpu": tables.number_column("GPU, GPU-h", 112), "mem": tables.number_column("Memory, GiB-h", 128),
         "unbilled": tables.money_column(f"Unbilled, {currency}", 128), "cost": tables.money_column(f"Cost, {currency}", 118)},
        key=f"sums_{dig.key}", select="single-row", alt="Sums by month", height=14 * tables.ROW_HEIGHT)
    file = f"corehours-by-{dig.by}-{page.now.astimezone(zone):%Y-%m-%d}"
    out = found.with_columns(exports.exact(name).name.replace("_micro", "") for name in found.columns if name.endswith("_micro")
                             ).drop([name for name in found.columns if name.endswith("_micro")]).rename({"name": dig.by}
                             ).with_columns(currency=pl.lit(currency))
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        drill_bar(dig, found, rows)
        with st.container(horizontal=True, width="content"):
            st.download_button("CSV", lambda: exports.csv(out), f"{file}.csv", "text/csv", icon=":material/download:", on_click="ignore")
            st.download_button("Parquet", lambda: exports.parquet(out), f"{file}.parquet", icon=":material/download:", on_click="ignore")
