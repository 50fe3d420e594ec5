"""Money that went in and out of the demo centre: wallets that were filled, a project's that is shared, a receipt paid from a wallet,
one paid at a provider and given back in part, changes by hand, and days compared with the provider's books.

All of it goes through the services, as real money does, at the times it is said to have happened, and longer ago than a sidecar
looks back by itself: the test provider of this installation has never heard of it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import groupby
from typing import TypeVar

from data.postgres.store import PostgresTransaction, Store
from engine.money import Money, minor_micro, to_minor
from engine.payments import EventKind, Movement, Payment, ProviderEvent
from engine.receipts import Receipt
from engine.reconciliation import Entry
from engine.refunds import Refund, RefundAnswer, RefundStatus
from engine.services import users
from engine.services.adjustments import request_adjustment
from engine.services.events import apply_event
from engine.services.payments import start_payment
from engine.services.project_wallets import open_project_wallet, share_project_wallet
from engine.services.reconciliation import keep_day
from engine.services.refunds import about_to_ask, answer_refund, request_refund
from engine.services.wallets import currencies_of, pay_from_wallet, start_topup
from engine.users import Person
from engine.wallets import project_owner

T = TypeVar("T")
PROVIDER, WORKER = "dummy", "worker"
PROJECT, OWNER, SHARES = "ai-lab", "pi", "researcher"
# days ago, whose wallet, how much in whole units, who pressed the button
TOPUPS = (*((days, name, units, name) for days, name, units in (
    (34, "somchai.p", 14000), (36, "siriporn.t", 4600), (35, "m.jones", 24000), (37, "w.nattapong", 7000))),
          (62, "researcher", 1000, "researcher"), (47, project_owner(PROJECT), 5000, OWNER), (33, "researcher", 500, "researcher"),
          (19, "pi", 2000, "pi"), (12, "researcher", 500, "researcher"))
# days ago, whose wallet, by how much, why; the large one waits for a second admin
CHANGES = ((40, "ananya.k", 200, "Part of the summer school's grant"),
           (9, project_owner(PROJECT), 2500, "The faculty's grant for the term"))
FROM_WALLET, GIVEN_BACK = "w.nattapong", "m.jones"         # whose receipt was paid from a wallet; was given back in part
WHY_BACK = "The node failed twice while the jobs ran"


def offered(store: Store) -> bool:
    """True where the test provider is: without it there is nothing to show."""
    return PROVIDER in store.settings.payment_providers


def fill_wallets(store: Store, today: datetime) -> None:
    """Top-ups, a shared wallet and changes by hand of the last two months; then every day on which money moved is compared."""
    admin = store.read(lambda tx: users.find(tx, "admin"))
    _at(store, today - timedelta(days=50), admin, lambda tx: open_project_wallet(tx, PROJECT, OWNER, admin))
    _at(store, today - timedelta(days=49), admin, lambda tx: share_project_wallet(tx, PROJECT, SHARES, admin))
    for days, owner, units, name in TOPUPS:
        by = store.read(lambda tx, name=name: users.find(tx, name))        # type: ignore[misc]
        _top_up(store, today - timedelta(days=days, hours=days % 7), owner, units * 1_000_000, by)
    for days, owner, units, why in CHANGES:
        _at(store, today - timedelta(days=days), admin, lambda tx, owner=owner, units=units, why=why: request_adjustment(  # type: ignore[misc]
            tx, owner, Money(units * 1_000_000, currencies_of(tx, owner)[0]), why, admin))
    _compare(store, today)


def pay_by_wallet(store: Store, receipt: Receipt, at: datetime, by: Person) -> None:
    """The wallet is filled with what the receipt needs and a little more, and pays it."""
    _top_up(store, at - timedelta(hours=3), receipt.payer, -(-receipt.total_micro // 100_000_000) * 100_000_000, by)
    _at(store, at, by, lambda tx: pay_from_wallet(tx, receipt.id, receipt.payer, by))


def pay_and_give_back(store: Store, receipt: Receipt, at: datetime, by: Person) -> None:
    """The receipt is paid at the provider; four days later a tenth of it is given back, which arrives on the next."""
    payment = _at(store, at - timedelta(minutes=4), by, lambda tx: start_payment(tx, receipt.id, by, PROVIDER)).payment
    _hear(store, at, _word(EventKind.SUCCEEDED, payment))
    part = Money(receipt.total_micro // 10 // minor_micro(receipt.currency) * minor_micro(receipt.currency), receipt.currency)
    refund = _at(store, at + timedelta(days=4), by, lambda tx: request_refund(tx, receipt.number, part, WHY_BACK, by))
    _at(store, at + timedelta(days=4, minutes=1), None, lambda tx: about_to_ask(tx, refund.id))
    answer = RefundAnswer(f"re_{payment.reference}", RefundStatus.SUBMITTED)
    _at(store, at + timedelta(days=4, minutes=1), None, lambda tx: answer_refund(tx, refund.id, answer))
    _hear(store, at + timedelta(days=5), _word(EventKind.REFUND_SUCCEEDED, payment, refund))


def _top_up(store: Store, at: datetime, owner: str, micro: int, by: Person) -> None:
    """As much of it as this site lets anybody add at a time."""
    site = store.settings
    within = min(max(micro, site.topup_minimum_micro), site.topup_maximum_micro)
    started = _at(store, at, by, lambda tx: start_topup(tx, owner, Money(within, currencies_of(tx, owner)[0]), by, PROVIDER))
    _hear(store, at + timedelta(minutes=2), _word(EventKind.SUCCEEDED, started.payment))


def _word(kind: EventKind, payment: Payment, refund: Refund | None = None) -> ProviderEvent:
    """What the provider says: the test provider calls money as we call the payment."""
    money, name = (refund.money, f"re_{payment.reference}") if refund else (payment.money, "")
    return ProviderEvent(PROVIDER, f"demo:{kind}:{payment.reference}", kind, payment.livemode, payment.reference, payment.reference,
                         to_minor(money), money.currency, name, refund.id if refund else "")


def _hear(store: Store, at: datetime, event: ProviderEvent) -> None:
    _at(store, at, None, lambda tx: apply_event(tx, event, at))


def _compare(store: Store, today: datetime) -> None:
    """Early on the morning after each day on which money moved, with what the provider told: the same."""
    zone = store.settings.zone
    moved = store.read(lambda tx: tx.reconciliation.entries(PROVIDER, tx.settings.livemode, today - timedelta(days=400), today, ()))
    for day, entries in groupby(moved, lambda entry: entry.at.astimezone(zone).date()):
        told = [_movement(entry) for entry in entries]
        _at(store, told[-1].at + timedelta(days=1), None, lambda tx, day=day, told=told: keep_day(  # type: ignore[misc]
            tx, PROVIDER, day, told, 0, WORKER))


def _movement(entry: Entry) -> Movement:
    minor = entry.amount_micro // minor_micro(entry.currency)
    return Movement(entry.reference, entry.name, entry.reference, minor, entry.currency, entry.at)


def _at(store: Store, at: datetime, by: Person | None, work: Callable[[PostgresTransaction], T]) -> T:
    """One transaction that believes it is `at`; without a person the worker acts."""
    def told(tx: PostgresTransaction) -> T:
        tx.now = at
        return work(tx)
    return store.run(told, actor=by.name if by else WORKER)
