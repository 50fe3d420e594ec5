"""Refunds with their history, and the disputes that payers' banks began. Lock order: the money, the receipt, the payment,
then its refunds and disputes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from data.postgres.shelves.shelf import Shelf
from engine.disputes import Dispute, DisputeStatus
from engine.refunds import Origin, Refund, RefundStatus


@dataclass(frozen=True, slots=True)
class RefundStep:
    """One step in a refund's life."""

    at: datetime
    from_status: str | None
    to_status: str
    actor: str
    why: str


class RefundShelf(Shelf):
    """Rows of refund and refund_event."""

    def __init__(self, connection: sa.Connection, actor: str) -> None:
        super().__init__(connection)
        self.actor = actor

    def add(self, refund: Refund) -> None:
        """Write a new refund as it is. The database refuses more than the payment brought."""
        names = Refund.__slots__
        self.execute(f"insert into refund ({', '.join(names)}) values ({', '.join(':' + name for name in names)})",  # noqa: S608
                     **{name: _plain(getattr(refund, name)) for name in names})
        self._log(refund, None, refund.status, refund.why)

    def move(self, refund: Refund, to: RefundStatus, provider_ref: str, why: str, at: datetime) -> Refund:
        """Change its status; keeps the provider's name for it and, with an end, when it was. Whether the move is legal the
        service has checked."""
        moved = replace(refund, status=to, provider_ref=refund.provider_ref or provider_ref or None, why=why or refund.why,
                        settled_at=at if to in (RefundStatus.SUCCEEDED, RefundStatus.FAILED) else None)
        self.execute("update refund set status = :to, provider_ref = :ref, why = :why, settled_at = :at where id = :id",
                     id=refund.id, to=str(to), ref=moved.provider_ref, why=moved.why, at=moved.settled_at)
        self._log(refund, refund.status, to, why)
        return moved

    def asked(self, refund: Refund, at: datetime) -> None:
        """Note that the provider is about to be asked for the first time."""
        self.execute("update refund set asked_at = :at where id = :id and asked_at is null", id=refund.id, at=at)

    def _log(self, refund: Refund, was: RefundStatus | None, to: RefundStatus, why: str) -> None:
        self.execute("insert into refund_event (refund_id, from_status, to_status, actor, why) values (:id, :was, :to, :actor, :why)",
                     id=refund.id, was=None if was is None else str(was), to=str(to), actor=self.actor, why=why)

    def get(self, id: str, lock: bool = False) -> Refund | None:
        """The refund with that id."""
        return _refund(self.one(f"select * from refund where id = :id {'for update' if lock else ''}", id=id))  # noqa: S608

    def by_request(self, key: str) -> Refund | None:
        """The refund that one pressing of a button made."""
        return _refund(self.one("select * from refund where request_key = :key", key=key))

    def by_ref(self, provider: str, livemode: bool, ref: str) -> Refund | None:
        """The refund with the provider's own name."""
        return _refund(self.one("select * from refund where provider = :provider and livemode = :livemode and provider_ref = :ref",
                                provider=provider, livemode=livemode, ref=ref))

    def of_payment(self, payment_id: str) -> list[Refund]:
        """Every refund of a payment, oldest first."""
        return _refunds(self.rows("select * from refund where payment_id = :payment order by requested_at, id", payment=payment_id))

    def of_receipt(self, receipt_id: str) -> list[Refund]:
        """Every refund of a receipt's payments, oldest first."""
        return _refunds(self.rows("select r.* from refund r join payment p on p.id = r.payment_id where p.receipt_id = :receipt"
                                  " order by r.requested_at, r.id", receipt=receipt_id))

    def newest(self, most: int = 100, state: str | None = None) -> list[Refund]:
        """The newest refunds, of one state when it is named."""
        return _refunds(self.rows("select * from refund where cast(:state as text) is null or status = :state"
                                  " order by requested_at desc, id desc limit :most", most=most, state=state))

    def steps(self, id: str) -> list[RefundStep]:
        """Its history, oldest first."""
        return [RefundStep(row.at, row.from_status, row.to_status, row.actor, row.why) for row in self.rows(
            "select at, from_status, to_status, actor, why from refund_event where refund_id = :id order by id", id=id)]


class DisputeShelf(Shelf):
    """Rows of dispute."""

    def add(self, dispute: Dispute) -> None:
        """Write a new dispute as it is."""
        names = Dispute.__slots__
        self.execute(f"insert into dispute ({', '.join(names)}) values ({', '.join(':' + name for name in names)})",  # noqa: S608
                     **{name: _plain(getattr(dispute, name)) for name in names})

    def keep(self, dispute: Dispute) -> None:
        """Write where it stands now. Whether the move is legal the service has checked."""
        names = ("status", "withdrawn_at", "reinstated_at", "closed_at", "from_receipt_micro", "from_wallet_micro", "from_unapplied_micro",
                 "from_write_off_micro")
        self.execute(f"update dispute set {', '.join(f'{name} = :{name}' for name in names)} where id = :id",  # noqa: S608
                     id=dispute.id, **{name: _plain(getattr(dispute, name)) for name in names})

    def of_payment(self, payment_id: str, lock: bool = False) -> list[Dispute]:
        """Every dispute over a payment, oldest first."""
        rest = "for update" if lock else ""
        return _disputes(self.rows(f"select * from dispute where payment_id = :payment order by opened_at, id {rest}",  # noqa: S608
                                   payment=payment_id))

    def of_receipt(self, receipt_id: str) -> list[Dispute]:
        """Every dispute over a receipt's payments, oldest first."""
        return _disputes(self.rows("select d.* from dispute d join payment p on p.id = d.payment_id where p.receipt_id = :receipt"
                                   " order by d.opened_at, d.id", receipt=receipt_id))

    def newest(self, most: int = 100) -> list[Dispute]:
        """The newest disputes."""
        return _disputes(self.rows("select * from dispute order by opened_at desc, id desc limit :most", most=most))

    def freeze(self, dispute: Dispute, owner: str, amount_micro: int) -> None:
        """Keep so much of a wallet from being spent while the dispute is open."""
        self.execute("insert into wallet_freeze (subject, owner, currency, amount_micro, reason) values (:subject, :owner, :currency,"
                     " :amount, :reason) on conflict do nothing", subject=f"dispute:{dispute.id}", owner=owner,
                     currency=dispute.currency, amount=amount_micro, reason=f"dispute over {dispute.money}")

    def unfreeze(self, dispute: Dispute) -> None:
        """Let it be spent again."""
        self.execute("update wallet_freeze set lifted_at = transaction_timestamp() where subject = :subject and lifted_at is null",
                     subject=f"dispute:{dispute.id}")

    def frozen_micro(self, owner: str, currency: str) -> int:
        """How much of a wallet is frozen."""
        row = self.one("select coalesce(sum(amount_micro), 0) as frozen from wallet_freeze where owner = :owner and currency = :currency"
                       " and lifted_at is null", owner=owner, currency=currency)
        assert row is not None
        return int(row.frozen)


def _refund(row: sa.Row[Any] | None) -> Refund | None:
    if row is None:
        return None
    values = {name: getattr(row, name) for name in Refund.__slots__}
    return Refund(**values | {"status": RefundStatus(row.status), "origin": Origin(row.origin)})


def _refunds(rows: Sequence[sa.Row[Any]]) -> list[Refund]:
    return [refund for row in rows if (refund := _refund(row))]


def _dispute(row: sa.Row[Any] | None) -> Dispute | None:
    if row is None:
        return None
    values = {name: getattr(row, name) for name in Dispute.__slots__}
    return Dispute(**values | {"status": DisputeStatus(row.status)})


def _disputes(rows: Sequence[sa.Row[Any]]) -> list[Dispute]:
    return [dispute for row in rows if (dispute := _dispute(row))]


def _plain(value: object) -> object:
    """Words of our own kinds as the database reads them."""
    return str(value) if isinstance(value, StrEnum) else value
