"""Loads the demo centre: people, two years' prices, twelve months of usage, the receipts that were made of it, and wallets.

Everything goes the way real things go: usage through the keeper of batches, money through the services, so that every
check holds afterwards. Only the clock is told another time while past months are billed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from data.demo import money, nodes
from data.demo.jobs import corrected, demo_usage, to_the_minute
from data.demo.people import DEMO_USERS, MEMBERS, DemoUser, DemoUsers
from data.passwords import hashed
from data.postgres.shelves.usage_reads import Scope
from data.postgres.store import PostgresTransaction, Store
from engine.errors import DomainError, NothingToBill
from engine.policy import OPERATOR
from engine.rates import Price, RateCard, Step, with_prices
from engine.receipts import Receipt, ReceiptStatus
from engine.services import rates, receipts, users
from engine.usage import UsageBatch
from engine.users import Person
from ingest.keep import keep
from ingest.sources.file import read_file

CAPTURED = Path(__file__).parent / "captured" / "sacct.txt"
Say = Callable[[str], None]

OVERDUE = "r.becker"                    # has not paid the month before last
LATE = ("researcher", "ananya.k", "k.wongsa", "n.okafor")      # have not paid the last month yet
REISSUED = "researcher"                 # three months ago one of theirs was voided and made again
MODELS = {"h100": 220, "l40s": 70, "rtx4090": 36}             # percent of what any other GPU costs
MEANS = ("bank transfer", "project grant", "cheque")


class NotADemo(DomainError):
    """The demo centre has well-known passwords and is for development only."""

    code, status = "not_a_demo", 403


@dataclass(frozen=True, slots=True)
class Month:
    """A month that is over: [start, end), billed at `issued`."""

    start: datetime
    end: datetime
    age: int                                # 1 is the last month that is over

    @property
    def issued(self) -> datetime:
        """Two hours after its end."""
        return self.end + timedelta(hours=2)


def silent(_: str) -> None:
    """Progress nobody asked for."""


def load(store: Store, progress: Say = silent, today: datetime | None = None) -> DemoUsers:
    """Fill an empty store with the demo centre as it stands `today` (default: now); returns who can sign in.

    A store that holds usage or people already is left as it is.
    """
    if not store.settings.development:
        raise NotADemo("COREHOURS_ENV is production.")
    if store.read(_holds_something):
        return DEMO_USERS
    today = to_the_minute(today or datetime.now(UTC))
    progress("demo centre: people and prices")
    finance = _people(store)
    store.run(lambda tx: _prices(tx, today), actor="system")
    usage = demo_usage(today)
    for batch in [*_batches(usage, today), *_captured()]:
        progress(f"demo centre: {batch.origin}")
        keep(store, batch)
    for month in _months(today, store.settings.zone):
        if month.issued < today:
            progress(f"demo centre: receipts of {month.start.astimezone(store.settings.zone):%B %Y}")
            if month.age == 1:
                keep(store, _correction(usage, month, today))
            _bill(store, month, finance, today)
    if money.offered(store):
        progress("demo centre: wallets")
        money.fill_wallets(store, today)
        if store.settings.node_provisioner == "dummy":
            progress("demo centre: GPU nodes")
            nodes.rent(store, today)
    return DEMO_USERS


def _holds_something(tx: PostgresTransaction) -> bool:
    return bool(tx.users.everybody()) or any(tx.usage_reads.choices(Scope()))


def _captured() -> list[UsageBatch]:
    """Jobs of a real Slurm 22.05 cluster, odd names and resized runs included."""
    return [replace(read_file(CAPTURED), origin="jobs captured from a real Slurm 22.05")]


def _people(store: Store) -> Person:
    """Add who signs in and who is billed; returns the finance person, who does the billing."""
    hashes = {person.name: hashed(person.password) for person in DEMO_USERS.people}
    return store.run(lambda tx: _add_people(tx, hashes), actor="system")


def _add_people(tx: PostgresTransaction, hashes: dict[str, str]) -> Person:
    made = {person.name: _add(tx, person, hashes[person.name]) for person in DEMO_USERS.people}
    for member in MEMBERS:
        tx.payers.ensure([member.name], member.tier)
    nodes.add_renters(tx, OPERATOR)
    return made["finance"]


def _add(tx: PostgresTransaction, person: DemoUser, password_hash: str) -> Person:
    return users.add(tx, person.name, person.role, password_hash, person.payer, person.projects, by=OPERATOR)


def _prices(tx: PostgresTransaction, today: datetime) -> None:
    """A second card for each tier, a few months old: companies got GPUs cheaper, the university's memory too, and models of GPUs
    have prices of their own."""
    since = {age: month.start for month in _months(today, tx.settings.zone) if (age := month.age) in (5, 3)}
    admin = users.find(tx, "admin")
    for tier, valid_from, change, note in (
            ("private", since[5], {"gpu": 90_000_000}, "GPU-hours for companies at 90"),
            ("mu", since[3], {"mem": 400_000}, "Memory at 0.40, as the senate decided"),
            ("gov", since[3], {}, "Prices of GPU models")):
        newest = with_prices([card for card in tx.rates.book() if card.tier == tier][-1], **change)
        card = replace(newest, version=0, valid_from=valid_from, note=note, prices=(*newest.prices, *_models(newest)))
        rates.publish_cards(tx, [card], admin)


def _models(card: RateCard) -> list[Price]:
    """What GPUs cost whose model a job or a node names, beside the others."""
    return [Price("gpu", (Step(0, card.price_micro("gpu") * percent // 100),), model) for model, percent in MODELS.items()]


def _months(today: datetime, zone: ZoneInfo) -> Iterator[Month]:
    """The months that are over by `today`, oldest first, as the site's calendar cuts them."""
    end = today.astimezone(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    spans: list[Month] = []
    for age in range(1, 13):
        start = (end - timedelta(days=1)).replace(day=1)
        spans.append(Month(start.astimezone(UTC), end.astimezone(UTC), age))
        end = start
    yield from reversed(spans)


def _batches(usage: pl.DataFrame, today: datetime) -> Iterator[UsageBatch]:
    """The drawn usage as if it had been fetched month by month; the windows touch each other and the last ends today."""
    days, parts = 31, 12
    edges = [int((today - timedelta(days=days * left)).timestamp()) for left in range(parts, -1, -1)]
    for number, window in enumerate(pairwise(edges), 1):
        inside = pl.col("submit_at").is_between(*window, closed="left")
        part = usage.filter(inside if number < parts else pl.col("submit_at") >= window[0])
        yield UsageBatch("demo", f"drawn usage, part {number} of {parts}", len(part), (part,), window=window)


def _correction(usage: pl.DataFrame, month: Month, today: datetime) -> UsageBatch:
    """Two of the researcher's billed jobs come again with less core time: adjustments on the next receipt."""
    before = int(month.start.timestamp())
    billed = usage.filter(pl.col("ended"), pl.col("user_name") == REISSUED, pl.col("cpu_used_core_seconds") > 8000,
                          pl.col("end_at").is_between(before - 6 * 86_400, before - 60))
    part = corrected(billed.sort("end_at").tail(2))
    return UsageBatch("demo", "corrections of the cluster's accounting", len(part), (part,), window=(before, int(today.timestamp())))


def _bill(store: Store, month: Month, by: Person, today: datetime) -> None:
    """A month's receipts for everybody, and what became of them."""
    issued = store.run(lambda tx: _issue(tx, month, by), actor=by.name)
    for number, receipt in enumerate(issued):
        if month.age == 3 and receipt.payer == REISSUED:
            receipt = store.run(lambda tx, was=receipt: _reissue(tx, was, month, by), actor=by.name)    # type: ignore[misc]
        paid_at = receipt.issued_at + timedelta(days=2 + (7 * number + 3 * month.age) % 17, hours=number)
        if paid_at < today and not _waits(receipt, month):
            _paid(store, receipt, month, paid_at, by)


def _paid(store: Store, receipt: Receipt, month: Month, at: datetime, by: Person) -> None:
    """By hand, as most are; one from a wallet, one at a provider."""
    way = {(2, money.FROM_WALLET): money.pay_by_wallet, (3, money.GIVEN_BACK): money.pay_and_give_back}.get((month.age, receipt.payer))
    if way and money.offered(store) and receipt.total_micro <= store.settings.topup_maximum_micro:
        way(store, receipt, at, by)
    else:
        store.run(lambda tx: _settle(tx, receipt, at, by), actor=by.name)


def _waits(receipt: Receipt, month: Month) -> bool:
    return receipt.status is not ReceiptStatus.PENDING or (month.age == 2 and receipt.payer == OVERDUE) or (
        month.age == 1 and receipt.payer in LATE)


def _issue(tx: PostgresTransaction, month: Month, by: Person) -> list[Receipt]:
    tx.now = month.issued
    names = {member.name for member in MEMBERS}
    return [receipt for payer in receipts.payers_to_bill(tx, month.end) if payer in names
            for receipt in _receipt(tx, payer, month.end, by)]


def _receipt(tx: PostgresTransaction, payer: str, before: datetime, by: Person) -> list[Receipt]:
    try:
        return [receipts.create_receipt(tx, payer, before, by)]
    except NothingToBill:
        return []


def _reissue(tx: PostgresTransaction, receipt: Receipt, month: Month, by: Person) -> Receipt:
    tx.now = month.issued + timedelta(hours=30)
    receipts.void_receipt(tx, receipt.id, "Wrong cost centre, made again", by)
    return receipts.create_receipt(tx, receipt.payer, month.end, by)


def _settle(tx: PostgresTransaction, receipt: Receipt, at: datetime, by: Person) -> None:
    tx.now = at
    means = MEANS[sum(map(ord, receipt.payer)) % len(MEANS)]
    receipts.mark_paid(tx, receipt.id, f"Paid by {means}, value date {at:%d %b %Y}", by)

