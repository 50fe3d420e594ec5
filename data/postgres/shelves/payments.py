"""Payments: what we asked providers to collect, and settlements entered by hand.

Lock order: the money (hold_money), the receipt, then its payments.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from data.postgres.shelves.shelf import Shelf
from engine.ids import new_id, payment_reference
from engine.payments import MoneyName, Payment, PaymentStatus, Purpose
from engine.receipts import Receipt

MANUAL = "manual"


class PaymentShelf(Shelf):
    """Rows of payment."""

    def add(self, payment: Payment) -> None:
        """Write a new payment as it is."""
        names = Payment.__slots__
        self.execute(f"insert into payment ({', '.join(names)}) values ({', '.join(':' + name for name in names)})",  # noqa: S608
                     **{name: _plain(getattr(payment, name)) for name in names})

    def under_way(self, receipt_id: str) -> list[Payment]:
        """A receipt's pending and processing payments, expired or not, locked: a pending one a provider at most."""
        return _payments(self.rows("select * from payment where receipt_id = :receipt and status in ('pending', 'processing')"
                                   " order by id for update", receipt=receipt_id))

    def topups_under_way(self, wallet: str) -> list[Payment]:
        """The pending and processing top-ups of a wallet, the newest first."""
        return _payments(self.rows("select * from payment where wallet = :wallet and purpose = 'topup'"
                                   " and status in ('pending', 'processing') order by created_at desc, id desc", wallet=wallet))

    def to_ask_after(self, provider: str, begun_before: datetime, expired_since: datetime, most: int = 100) -> list[Payment]:
        """Payments begun before then whose money is on its way, and those whose time has run out since then though their payer was
        led to the provider; where there are many, any of them, so that each has its turn."""
        return _payments(self.rows(
            "select * from payment where provider = :provider and ((status = 'processing' and created_at < :begun)"
            " or (status = 'expired' and checkout_url is not null and expires_at >= :expired)) order by random() limit :most",
            provider=provider, begun=begun_before, expired=expired_since, most=most))

    def unapplied(self) -> list[Payment]:
        """Money that fits nobody, the oldest first."""
        return _payments(self.rows("select * from payment where status = 'unapplied' order by created_at, id"))

    def hold_money(self, provider: str, livemode: bool, money: str) -> None:
        """Whoever applies the same money object waits here until this transaction is over."""
        self.rows("select pg_advisory_xact_lock(hashtextextended(:name, 0))", name=f"money:{provider}:{livemode}:{money}")

    def hold_free_money(self, names: Sequence[MoneyName]) -> set[MoneyName]:
        """Hold the money objects that nobody else applies now, as hold_money does; those. Waits for nobody."""
        found = self.rows(
            "select ordinal from unnest(cast(:names as text[])) with ordinality n(name, ordinal)"
            " where pg_try_advisory_xact_lock(hashtextextended(name, 0))",
            names=[f"money:{name.provider}:{name.livemode}:{name.money}" for name in names])
        return {names[row.ordinal - 1] for row in found}

    def known_money(self, names: Sequence[MoneyName]) -> set[MoneyName]:
        """Those of the money objects that a payment holds already."""
        return {MoneyName(row.provider, row.livemode, row.money) for row in self.rows(
            "select n.provider, n.livemode, n.money"
            " from unnest(cast(:providers as text[]), cast(:livemodes as boolean[]), cast(:moneys as text[])) n(provider, livemode, money)"
            " cross join lateral (select from payment p where p.provider = n.provider and p.livemode = n.livemode"
            " and p.money_ref = n.money and p.received_micro > 0 limit 1) found",
            providers=[name.provider for name in names], livemodes=[name.livemode for name in names],
            moneys=[name.money for name in names])}

    def free(self, references: Sequence[str]) -> dict[str, Payment]:
        """The payments called so that nobody else has in hand, locked, by their reference. Waits for nobody."""
        rows = self.rows("select * from payment where reference = any(:references) order by id for update skip locked",
                         references=list(references))
        return {payment.reference: payment for payment in _payments(rows)}

    def of_money(self, provider: str, livemode: bool, money: str) -> Payment | None:
        """The payment that holds the provider's money object, locked."""
        return _payment(self.one("select * from payment where provider = :provider and livemode = :livemode and money_ref = :money"
                                 " and received_micro > 0 for update", provider=provider, livemode=livemode, money=money))

    def find(self, reference: str) -> Payment | None:
        """The payment called `reference`."""
        return _payment(self.one("select * from payment where reference = :reference", reference=reference))

    def by_id(self, id: str) -> Payment | None:
        """The payment with that id."""
        return _payment(self.one("select * from payment where id = :id", id=id))

    def lock(self, reference: str) -> Payment | None:
        """The payment called `reference`, locked."""
        return _payment(self.one("select * from payment where reference = :reference for update", reference=reference))

    def match(self, reference: str, provider: str, livemode: bool, lock: bool = False) -> Payment | None:
        """The payment called `reference`, of that provider and mode only."""
        sql = "select * from payment where reference = :reference and provider = :provider and livemode = :livemode"
        return _payment(self.one(sql + " for update" if lock else sql, reference=reference, provider=provider, livemode=livemode))

    def of_receipt(self, receipt_id: str) -> list[Payment]:
        """Every attempt to have a receipt paid, newest first."""
        return _payments(self.rows("select * from payment where receipt_id = :receipt order by created_at desc, id desc",
                                   receipt=receipt_id))

    def all(self, most: int = 100) -> list[Payment]:
        """The newest payments."""
        return _payments(self.rows("select * from payment order by created_at desc, id desc limit :most", most=most))

    def overdue(self) -> list[Payment]:
        """Pending payments whose time is over, skipping those that somebody works on; locked."""
        return _payments(self.rows("select * from payment where status = 'pending' and expires_at <= transaction_timestamp()"
                                   " order by id limit 200 for update skip locked"))

    def move(self, payment: Payment, to: PaymentStatus) -> None:
        """Change its status, where no money comes with it. Whether the move is legal the service has checked."""
        self.execute("update payment set status = :to where id = :id", to=str(to), id=payment.id)

    def take(self, payment: Payment) -> None:
        """Write what became of its money, as `payment` now says. Whether the move is legal the service has checked."""
        names = ("status", "settled_at", "money_ref", "received_micro", "note", "purpose", "receipt_id", "wallet", "amount_micro")
        self.execute(f"update payment set {', '.join(f'{name} = :{name}' for name in names)} where id = :id",  # noqa: S608
                     id=payment.id, **{name: _plain(getattr(payment, name)) for name in names})

    def take_many(self, payments: Sequence[Payment]) -> None:
        """The same for payments whose money does what they asked for: purpose, receipt, wallet and amount stay."""
        types = {"id": "text", "status": "text", "settled_at": "timestamptz", "money_ref": "text", "received_micro": "bigint",
                 "note": "text"}
        columns = ", ".join(f"cast(:{name} as {kind}[])" for name, kind in types.items())
        self.execute(f"update payment p set {', '.join(f'{name} = n.{name}' for name in list(types)[1:])}"  # noqa: S608
                     f" from unnest({columns}) n({', '.join(types)}) where p.id = n.id",
                     **{name: [_plain(getattr(payment, name)) for payment in payments] for name in types})

    def keep_checkout(self, payment: Payment, url: str, provider_ref: str) -> None:
        """Remember where the payer goes. Who comes second changes nothing."""
        self.execute("update payment set checkout_url = :url, provider_ref = :ref where id = :id and checkout_url is null",
                     url=url, ref=provider_ref, id=payment.id)

    def add_manual(self, receipt: Receipt, actor: str, at: datetime) -> str:
        """A settlement by other means, succeeded `at` once; its reference."""
        reference = payment_reference()
        self.execute(
            "insert into payment (id, reference, receipt_id, provider, livemode, amount_micro, currency, status, created_by,"
            " created_at, expires_at, settled_at, purpose, wallet, received_micro) values (:id, :reference, :receipt, :provider, true,"
            " :amount, :currency, 'succeeded', :actor, :at, :at, :at, 'receipt', :payer, :amount)",
            id=new_id("pay", int(receipt.issued_at.timestamp() * 1000)), reference=reference, receipt=receipt.id,
            provider=MANUAL, amount=receipt.total_micro, currency=receipt.currency, actor=actor, at=at, payer=receipt.payer)
        return reference

    def revert_manual(self, receipt_id: str) -> str | None:
        """Take back a manual settlement; its reference, or None when the receipt was not settled by hand."""
        row = self.one("update payment set status = 'reverted' where receipt_id = :receipt and provider = :provider"
                       " and status = 'succeeded' returning reference", receipt=receipt_id, provider=MANUAL)
        return str(row.reference) if row else None


def _payment(row: sa.Row[Any] | None) -> Payment | None:
    if row is None:
        return None
    values = {name: getattr(row, name) for name in Payment.__slots__}
    return Payment(**values | {"status": PaymentStatus(row.status), "purpose": Purpose(row.purpose)})


def _payments(rows: Sequence[sa.Row[Any]]) -> list[Payment]:
    return [payment for row in rows if (payment := _payment(row))]


def _plain(value: object) -> object:
    """Words of our own kinds as the database reads them."""
    return str(value) if isinstance(value, StrEnum) else value
