"""What pages read: sums that agree to the micro-unit however they are cut, and nothing of anybody else's."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from dashboard import exports, job_table, reads, tables
from dashboard.periods import period, trail
from data.postgres.shelves.usage_reads import Filters, Scope
from data.postgres.store import Store
from engine.errors import NotFound
from tests.conftest import Corehours
from tests.engine.usage_frames import ENDED, run
from tests.flows.examples import keep_runs
from tests.pages.conftest import TODAY, Centre

YEAR = Filters(TODAY - timedelta(days=370), TODAY + timedelta(minutes=1))
NASTY = ("=cmd|'/c calc'!A1", "+1", "-2+3", "@SUM(A1)", "\ttab", "\r\nline", "＝1+1", "<script>alert(1)</script>", "[x](http://e.vil)",
         "\u202egnp.exe", "a\nb|c,\"d\"", "ชื่องาน", "x" * 10_000)


def test_sums_agree_to_the_micro_unit_however_they_are_cut(as_pages_see_it: Centre) -> None:
    totals, rows = reads.runs(Scope(), YEAR)
    days = as_pages_see_it.store.read(lambda tx: tx.usage_reads.spans(Scope(), YEAR, "Asia/Bangkok"))
    months = as_pages_see_it.store.read(lambda tx: tx.usage_reads.spans(Scope(), YEAR, "UTC", "month"))
    assert totals.cost_micro == rows["cost_micro"].sum() == days["cost_micro"].sum() == months["cost_micro"].sum()
    assert totals.jobs == len(rows) == days["jobs"].sum()
    parts = rows.select(pl.sum_horizontal("cpu_micro", "gpu_micro", "mem_micro", "rounding_micro").sum()).item()
    assert parts == totals.cost_micro
    by_payer = sum(reads.runs(Scope(payer=name), YEAR, 0)[0].cost_micro for name in rows["payer"].unique())
    assert by_payer == totals.cost_micro


def test_pictures_from_the_copy_say_what_the_books_say(as_pages_see_it: Centre) -> None:
    def books(scope: Scope, filters: Filters, unit: str) -> tuple[int, int]:
        spans = as_pages_see_it.store.read(lambda tx: tx.usage_reads.spans(scope, filters, "UTC", unit))
        return int(spans["cpu_micro"].sum()), int(spans["jobs"].sum())
    whole = Filters(datetime(2000, 1, 1, tzinfo=UTC), TODAY + timedelta(days=1))
    for scope in (Scope(), Scope(payer="researcher"), Scope(accounts=("ai-lab", "genomics"))):
        for filters in (whole, replace(whole, accounts=("ai-lab",)), replace(whole, partitions=("gpu",), accounts=("aero",))):
            for unit in ("day", "month"):
                days = reads.chart(scope, filters, unit, TODAY)
                assert (sum(days.micro["cpu"]), sum(days.jobs)) == books(scope, filters, unit) and days.as_of


def test_pages_of_the_table_hold_each_run_once(as_pages_see_it: Centre) -> None:
    scope = Scope(payer="researcher")
    totals, whole = reads.runs(scope, YEAR)
    parts = pl.concat([reads.runs(scope, YEAR, 100, first)[1] for first in range(0, totals.jobs, 100)])
    assert parts.equals(whole)


def test_a_researcher_sees_their_own_and_nothing_else(as_pages_see_it: Centre) -> None:
    researcher = as_pages_see_it.person("researcher")
    for choice in (reads.OWN, reads.PROJECTS, reads.ALL, "anything"):
        assert reads.scope_of(researcher, choice) == Scope(payer="researcher")
    other = str(reads.runs(Scope(payer="m.jones"), YEAR, 1)[1]["run_key"][0])
    own = str(reads.runs(Scope(payer="researcher"), YEAR, 1)[1]["run_key"][0])
    assert reads.explained(researcher, own).run.run_key == own
    for hidden in (other, "no/such/run"):
        with pytest.raises(NotFound):
            reads.explained(researcher, hidden)


def test_who_leads_projects_sees_what_they_used_but_not_their_members_receipts(as_pages_see_it: Centre) -> None:
    pi = as_pages_see_it.person("pi")
    rows = reads.runs(reads.scope_of(pi, reads.PROJECTS), YEAR)[1]
    assert set(rows["account_name"]) == {"ai-lab", "genomics"} and "researcher" in set(rows["user_name"])
    aero = str(as_pages_see_it.store.read(lambda tx: tx.usage_reads.runs(Scope(accounts=("aero",)), YEAR, 1))["run_key"][0])
    with pytest.raises(NotFound):
        reads.explained(pi, aero)
    assert {receipt.payer for receipt in reads.receipts(pi, reads.PROJECTS)} == {"pi"}


def test_the_search_takes_every_sign_as_it_is(as_pages_see_it: Centre) -> None:
    for text in ("%", "_%", "\\", "'; drop table usage_record; --", "100%"):
        assert reads.runs(Scope(), Filters(YEAR.start, YEAR.end, text=text), 0)[0].jobs == as_pages_see_it.store.read(
            lambda tx, text=text: tx.usage_reads.runs(Scope(), YEAR)).filter(    # type: ignore[misc]
                pl.col("job_name").str.contains(text, literal=True) | pl.col("job_id").str.starts_with(text)).height


def test_odd_names_are_shown_in_one_line_and_leave_as_text(store: Store) -> None:
    keep_runs(store, *[run(number, job_name=name) for number, name in enumerate(NASTY, 1)])
    filters = Filters(datetime.fromtimestamp(ENDED - 1, UTC), datetime.fromtimestamp(ENDED + 1, UTC))
    rows = store.read(lambda tx: tx.usage_reads.runs(Scope(), filters))
    assert sorted(rows["job_name"]) == sorted(NASTY)
    shown = job_table.rows(rows)["name"].to_list()
    assert all(len(name) <= job_table.SHOWN_LETTERS and not set(name) & set("\n\r\t\u202e") for name in shown)
    back = pl.read_csv(io.BytesIO(exports.csv(rows.with_columns(exports.exact("cost_micro").alias("cost")))), infer_schema=False)
    assert len(back) == len(NASTY) and sorted(name.removeprefix("'") for name in back["job_name"]) == sorted(NASTY)
    assert not any(str(value)[:1] in "=+-@＝\t\r" for name in ("job_name", "run_key", "job_id") for value in back[name])
    assert set(back["cost"]) == {"28.200000"}
    assert pl.read_parquet(io.BytesIO(exports.parquet(rows))).equals(rows)


def test_what_a_tables_own_download_saves_is_no_formula_either() -> None:
    rows = pl.DataFrame({"name": ["=1+1", "@x", "plain", None], "cost": [1.0, -2.0, 3.0, 4.0]})
    assert tables.harmless(rows)["name"].to_list() == ["\u2060=1+1", "\u2060@x", "plain", None]
    assert tables.harmless(rows)["cost"].to_list() == [1.0, -2.0, 3.0, 4.0]
    assert tables.harmless([{"name": "+1", "cost": -2.0}]) == [{"name": "\u2060+1", "cost": -2.0}]


def test_the_command_line_and_the_pages_say_the_same_sum(store: Store, corehours: Corehours) -> None:
    keep_runs(store, *[run(number, cpu_used_core_seconds=1000 + 7 * number, end_at=ENDED - number) for number in range(1, 40)])
    told = json.loads(corehours("usage", "--json").stdout)
    filters = Filters(datetime.fromtimestamp(ENDED - 100, UTC), datetime.fromtimestamp(ENDED, UTC))
    totals = store.read(lambda tx: tx.usage_reads.totals(Scope(), filters))
    assert totals.jobs == len(told) == 39 and totals.cost_micro == sum(one["cost_micro"] for one in told)


def test_periods_are_short_words() -> None:
    today = datetime(2026, 11, 21, tzinfo=UTC).date()
    assert [str(day) for day in (period("last", today).first, period("last", today).last)] == ["2026-10-01", "2026-10-31"]
    year, month, day = period("year", today), period("2026-02", today), period("2026-02-14", today)
    assert (str(year.first), year.unit, str(month.last), str(day.first), str(day.chart_last)) == (
        "2025-12-01", "month", "2026-02-28", "2026-02-14", "2026-02-28")
    assert trail(day) == ["year", "2026-02"] and trail(month) == ["year"] and trail(year) == []
    for nonsense in ("", "2026-13", "2026-02-30", "0000", "9999-12", "2026-00", "x", "2026-1"):
        assert period(nonsense, today) == period("30d", today)
