"""Payments: what we asked providers to collect, and settlements entered by hand.

Lock order: the receipt first, then its payments.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from data.postgres.shelves.shelf import Shelf
from engine.ids import new_id, payment_reference
from engine.payments import Payment, PaymentStatus
from engine.receipts import Receipt

MANUAL = "manual"


class PaymentShelf(Shelf):
    """Rows of payment."""

    def add(self, payment: Payment) -> None:
        """Write a new payment as it is."""
        names = Payment.__slots__
        self.execute(f"insert into payment ({', '.join(names)}) values ({', '.join(':' + name for name in names)})",  # noqa: S608
                     **{name: getattr(payment, name) for name in names} | {"status": str(payment.status)})

    def open_of(self, receipt_id: str, provider: str) -> Payment | None:
        """The pending payment of a receipt at a provider, expired or not: there is one at most."""
        return _payment(self.one("select * from payment where receipt_id = :receipt and provider = :provider"
                                 " and status = 'pending' for update", receipt=receipt_id, provider=provider))

    def find(self, reference: str) -> Payment | None:
        """The payment called `reference`."""
        return _payment(self.one("select * from payment where reference = :reference", reference=reference))

    def match(self, reference: str, provider: str, livemode: bool, lock: bool = False) -> Payment | None:
        """The payment called `reference`, of that provider and mode only."""
        sql = "select * from payment where reference = :reference and provider = :provider and livemode = :livemode"
        return _payment(self.one(sql + " for update" if lock else sql, reference=reference, provider=provider, livemode=livemode))

    def of_receipt(self, receipt_id: str) -> list[Payment]:
        """Every attempt to have a receipt paid, newest first."""
        rows = self.rows("select * from payment where receipt_id = :receipt order by created_at desc, id desc",
                         receipt=receipt_id)
        return [payment for row in rows if (payment := _payment(row))]

    def all(self, most: int = 100) -> list[Payment]:
        """The newest payments."""
        rows = self.rows("select * from payment order by created_at desc, id desc limit :most", most=most)
        return [payment for row in rows if (payment := _payment(row))]

    def overdue(self) -> list[Payment]:
        """Pending payments whose time is over, skipping those that somebody works on; locked."""
        rows = self.rows("select * from payment where status = 'pending' and expires_at <= transaction_timestamp()"
                         " order by id limit 200 for update skip locked")
        return [payment for row in rows if (payment := _payment(row))]

    def move(self, payment: Payment, to: PaymentStatus, settled_at: datetime | None = None) -> None:
        """Change its status; `settled_at` with succeeded only. Whether the move is legal the service has checked."""
        self.execute("update payment set status = :to, settled_at = :settled_at where id = :id",
                     to=str(to), settled_at=settled_at, id=payment.id)

    def keep_checkout(self, payment: Payment, url: str, provider_ref: str) -> None:
        """Remember where the payer goes. Who comes second changes nothing."""
        self.execute("update payment set checkout_url = :url, provider_ref = :ref where id = :id and checkout_url is null",
                     url=url, ref=provider_ref, id=payment.id)

    def add_manual(self, receipt: Receipt, actor: str, at: datetime) -> str:
        """A settlement by other means, succeeded `at` once; its reference."""
        reference = payment_reference()
        self.execute(
            "insert into payment (id, reference, receipt_id, provider, livemode, amount_micro, currency, status, created_by,"
            " created_at, expires_at, settled_at) values (:id, :reference, :receipt, :provider, true, :amount, :currency, 'succeeded',"
            " :actor, :at, :at, :at)",
            id=new_id("pay", int(receipt.issued_at.timestamp() * 1000)), reference=reference, receipt=receipt.id,
            provider=MANUAL, amount=receipt.total_micro, currency=receipt.currency, actor=actor, at=at)
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
    return Payment(**values | {"status": PaymentStatus(row.status)})
