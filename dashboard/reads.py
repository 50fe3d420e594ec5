"""What pages show, read in one go: each function answers one page's question as frozen values and frames.

Money comes from Postgres, always of this instant. Whose usage a person may see is decided here, once, for every page:
pages hold no rule of their own. Draws nothing, changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import polars as pl
import streamlit as st

from dashboard import words
from dashboard.connection import store
from dashboard.periods import midnight
from data.analytics import reads as analytics
from data.postgres.shelves.receipts import ReceiptEvent
from data.postgres.shelves.usage_reads import SPAN_SCHEMA, Filters, NowRunning, Scope, Totals
from data.postgres.store import PostgresTransaction
from engine.commitments import MonthStanding
from engine.errors import NothingToBill
from engine.explained import Explained
from engine.money import round_to_minor
from engine.payments import Payment
from engine.rates import RateCard
from engine.receipts import Draft, Receipt, ReceiptStatus
from engine.services import receipts as receipt_service
from engine.services.commitments import month_standing
from engine.services.explain import explain_run
from engine.users import Action, Person

OWN, PROJECTS, ALL = "own", "projects", "all"
DAYS_SHOWN = 30
LATEST_JOBS = 10


@dataclass(frozen=True, slots=True)
class Standing:
    """The line under a title: who pays at which tier, by which card, and how far usage is known."""

    payer: str
    tier: str
    card: str
    currency: str
    now: datetime
    freshness: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Days:
    """Cost by day (or month) and meter, gaps filled with zero: `micro["cpu"][i]` belongs to `starts[i]`."""

    starts: list[date]
    micro: dict[str, list[int]]
    jobs: list[int]
    as_of: datetime | None = None       # when the analytics copy last took something; None when read from Postgres

    @property
    def empty(self) -> bool:
        """True when nothing cost anything in the whole span."""
        return not any(self.jobs)


@dataclass(frozen=True, slots=True)
class Home:
    """What the first page shows of one scope."""

    month: Totals
    before: Totals                      # the same days of the month before
    unbilled: tuple[int, int]           # jobs, micro-units
    open_receipts: list[Receipt]
    running: NowRunning
    days: Days
    latest: pl.DataFrame
    known: bool                         # something was ever used


@dataclass(frozen=True, slots=True)
class ReceiptPage:
    """A receipt with its sums by meter, its history and the payment under way."""

    receipt: Receipt
    meters: pl.DataFrame
    adjustments: pl.DataFrame           # of jobs
    months: pl.DataFrame                # lines of months' minimums, and adjustments of these
    cards: dict[str, RateCard]
    events: list[ReceiptEvent]
    first_end: datetime | None
    last_end: datetime | None
    now: datetime


def scopes(person: Person) -> list[str]:
    """The scopes a person may choose from, the first by default."""
    return [OWN, *([PROJECTS] if person.projects else []), *([ALL] if person.may(Action.SEE_ALL) else [])]


def scope_of(person: Person, choice: str) -> Scope:
    """The rows `choice` stands for; what a person may not see falls back to their own."""
    allowed = scopes(person)
    if choice == ALL and ALL in allowed:
        return Scope()
    if choice == PROJECTS and PROJECTS in allowed:
        return Scope(accounts=person.projects)
    return Scope(payer=person.payer)


def usual_scope(person: Person) -> str:
    """Their own usage; for somebody who has none and may see everybody's, that."""
    known = store().read(lambda tx: tx.usage_reads.tier_of(person.payer)) is not None
    return OWN if known or ALL not in scopes(person) else ALL


def standing(person: Person) -> Standing:
    """Tier, card and freshness as they are now."""
    return store().read(lambda tx: _standing(tx, person))


def _standing(tx: PostgresTransaction, person: Person) -> Standing:
    tier = tx.usage_reads.tier_of(person.payer) or tx.settings.default_tier
    valid = [card for card in tx.rates.book() if card.tier == tier and card.valid_from <= tx.now]
    card = max(valid, key=lambda card: card.valid_from, default=None)
    return Standing(person.payer, tier, card.name if card else words.NOTHING,
                    card.currency if card else tx.settings.default_currency, tx.now, freshness(tx))


def freshness(tx: PostgresTransaction) -> tuple[str, str, str]:
    """The freshness badge: the least complete of the clusters that are being read, or of all when none is."""
    complete = tx.usage_reads.complete_to()
    promise = timedelta(minutes=tx.settings.usage_promise_minutes)
    return words.freshness(complete, tx.now, promise, tx.usage_reads.failing_source())


def home(person: Person, choice: str) -> Home:
    """Everything on the first page; the picture is asked for when the books are closed again."""
    scope = scope_of(person, choice)
    now, page = store().read(lambda tx: (tx.now, _home(tx, person, scope)))
    today = midnight(now.astimezone(words.zone()).date(), words.zone())
    since = Filters(today - timedelta(days=DAYS_SHOWN - 1), now)
    return replace(page, days=chart(scope, since, "day", now))


def _home(tx: PostgresTransaction, person: Person, scope: Scope) -> Home:
    zone, now = tx.settings.zone, tx.now
    today = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    month = today.replace(day=1)
    before = (month - timedelta(days=1)).replace(day=1)
    same = min(before + (now.astimezone(zone) - month), month)
    reads = tx.usage_reads
    latest = reads.runs(scope, Filters(now - timedelta(days=365), now, unended=True), LATEST_JOBS)
    return Home(
        month=reads.totals(scope, Filters(month, now)), before=reads.totals(scope, Filters(before, same)),
        unbilled=reads.unbilled_micro(scope), open_receipts=_visible(tx, person, scope, ["pending"]),
        running=reads.unended(scope), days=Days([], {}, []), latest=latest, known=not latest.is_empty())


def _days(spans: pl.DataFrame, first: date, last: date, unit: str, as_of: datetime | None) -> Days:
    """Every day (or month) of [first, last] in order, zero where nothing ended."""
    starts = list(pl.date_range(first, last, "1d" if unit == "day" else "1mo", eager=True))
    every = pl.DataFrame({"start": starts}, schema={"start": pl.Date})
    full = every.join(spans, on="start", how="left", maintain_order="left").fill_null(0)
    return Days(starts, {meter: full[f"{meter}_micro"].to_list() for meter in ("cpu", "gpu", "mem", "extra")}, full["jobs"].to_list(),
                as_of)


@st.cache_data(ttl=30, max_entries=200, show_spinner=False)
def choices(person_id: int, scope: Scope) -> tuple[list[str], list[str], list[str]]:
    """The accounts, partitions and states to filter by. Kept for half a minute per person and scope."""
    return store().read(lambda tx: tx.usage_reads.choices(scope))


def chart(scope: Scope, filters: Filters, unit: str, now: datetime) -> Days:
    """Cost by day or month of the filtered runs, with empty days in between: a picture, from the analytics copy; what the
    copy does not know (states and names) is asked of Postgres."""
    zone = words.zone()
    first = filters.start.astimezone(zone).date()
    last = (min(filters.end, now) - timedelta(microseconds=1)).astimezone(zone).date()
    if filters.states or filters.text.strip():
        spans, as_of = store().read(lambda tx: tx.usage_reads.spans(scope, filters, str(zone), unit)), None
    else:
        spans, as_of = _copied(scope, filters, unit, first, last)
    if unit == "month":
        first, last = first.replace(day=1), last.replace(day=1)
    return _days(spans, first, max(first, last), unit, as_of)


def _copied(scope: Scope, filters: Filters, unit: str, first: date, last: date) -> tuple[pl.DataFrame, datetime | None]:
    """The same from the analytics copy, and when it last took something."""
    accounts = scope.accounts
    if filters.accounts:
        accounts = filters.accounts if accounts is None else tuple(sorted(set(accounts) & set(filters.accounts)))
    asked = analytics.Asked(first, last + timedelta(days=1), None if scope.payer is None else (scope.payer,), accounts,
                            partitions=filters.partitions or None)
    lake = store().lake
    sums = (analytics.monthly if unit == "month" else analytics.daily)(lake, asked).rename({unit: "start"})
    return sums.group_by("start").agg(pl.col(list(SPAN_SCHEMA)[1:]).sum()), analytics.as_of(lake)


def runs(scope: Scope, filters: Filters, limit: int | None = None, offset: int = 0) -> tuple[Totals, pl.DataFrame]:
    """The sums of the filtered runs and one page of them, of one instant."""
    return store().read(lambda tx: (tx.usage_reads.totals(scope, filters), tx.usage_reads.runs(scope, filters, limit, offset)))


def explained(person: Person, run_key: str) -> Explained:
    """One run taken apart; to whoever may not see it, it does not exist."""
    return store().read(lambda tx: explain_run(tx, run_key, person))


def receipts(person: Person, choice: str) -> list[Receipt]:
    """The receipts a person may see in that scope, the newest first. A project has none of its own: they are people's."""
    return store().read(lambda tx: _visible(tx, person, scope_of(person, choice), None))


def _visible(tx: PostgresTransaction, person: Person, scope: Scope, statuses: Sequence[str] | None) -> list[Receipt]:
    everybody = scope == Scope() and person.may(Action.SEE_ALL)
    found = tx.receipts.all(None if everybody else [person.payer], statuses)
    return sorted(found, key=lambda one: one.due_at) if statuses else found


def preview(person: Person, payer: str, before: datetime) -> Draft | None:
    """What a receipt up to `before` would say; None when there is nothing to bill. Other refusals are raised."""
    try:
        return store().read(lambda tx: receipt_service.preview_receipt(tx, payer, before, person))
    except NothingToBill:
        return None


def billable_payers(before: datetime) -> list[str]:
    """Who has something to bill, for those who bill others."""
    return store().read(lambda tx: receipt_service.payers_to_bill(tx, before))


def receipt_page(person: Person, name: str) -> ReceiptPage:
    """A receipt and what stands around it; to whoever may not see it, it does not exist."""
    return store().read(lambda tx: _receipt_page(tx, person, name))


def _receipt_page(tx: PostgresTransaction, person: Person, name: str) -> ReceiptPage:
    receipt = receipt_service.get_receipt(tx, name, person)
    first, last = tx.usage_reads.receipt_span(receipt.id)
    jobs = tx.usage_reads.receipt_jobs(receipt.id)
    of_job = pl.col("month").is_null()
    return ReceiptPage(receipt, tx.usage_reads.receipt_by_meter(receipt.id), jobs.filter(of_job, kind="adjustment"), jobs.filter(~of_job),
                       {card.name: card for card in tx.rates.book()}, tx.receipts.events(receipt.id), first, last, tx.now)


def receipt_jobs(person: Person, name: str) -> pl.DataFrame:
    """A receipt's lines, one a job or one a month's minimum."""
    def read(tx: PostgresTransaction) -> pl.DataFrame:
        return tx.usage_reads.receipt_jobs(receipt_service.get_receipt(tx, name, person).id)
    return store().read(read)


def minimums(person: Person, payer: str, month: date) -> tuple[list[MonthStanding], datetime]:
    """What a month costs a payer at least, and the database's clock; refused to whoever may not see it."""
    return store().read(lambda tx: (month_standing(tx, payer, month, person), tx.now))


def payments(person: Person, name: str) -> tuple[Receipt, list[Payment], datetime]:
    """A receipt, every attempt to pay it (newest first) and the database's clock: what a page that waits looks at."""
    def read(tx: PostgresTransaction) -> tuple[Receipt, list[Payment], datetime]:
        receipt = receipt_service.get_receipt(tx, name, person)
        return receipt, tx.payments.of_receipt(receipt.id), tx.now
    return store().read(read)


def checkout_url(payment: Payment) -> str:
    """Where the payer goes on: our own address, which leads to the provider's page."""
    return f"{store().settings.sidecar_url.rstrip('/')}/pay/{payment.reference}"


def draft_rows(draft: Draft) -> list[dict[str, object]]:
    """A receipt that is not issued yet, meter by meter, then what makes the sum exact; `amount` in major units."""
    lines, currency = draft.lines, draft.currency
    names = {"cpu": "CPU core-hours", "gpu": "GPU hours", "mem": "Memory GiB-hours", "extra": "Node or billing-unit hours"}
    sizes = {"cpu": "cpu_core_seconds", "gpu": "gpu_seconds", "mem": "mem_mib_seconds", "extra": "extra_seconds"}
    rows: list[tuple[str, float | None, str, int]] = [
        (names[meter], words.in_units_micro(int(lines[sizes[meter]].sum()), meter) / 1e6, words.METER_UNITS[meter],
         round_to_minor(draft.income_micro[meter], currency)) for meter in names if meter != "extra" or draft.income_micro[meter]]
    least = draft.income_micro["commitment"]
    rest = draft.subtotal_micro - sum(row[3] for row in rows) - least
    on_top = 0 if draft.tax_included else draft.tax_micro
    more = (("Up to months' minimums", least), ("Rounding of the jobs", rest), (store().settings.tax_name, on_top),
            ("Rounding", draft.rounding_micro))
    rows += [(name, None, "", micro) for name, micro in more if micro]
    return [{"what": what, "quantity": quantity, "unit": unit, "amount": micro / 1e6} for what, quantity, unit, micro in rows]


def receipt_state(receipt: Receipt, now: datetime) -> str:
    """Its state as people say it: a pending one past its due date is overdue."""
    late = receipt.status is ReceiptStatus.PENDING and receipt.due_at < now
    return "overdue" if late else str(receipt.status)
