"""The store: opens transactions and hands out shelves. A whole transaction is retried on deadlock or
serialization failure, and on nothing else; audit entries queued in it are written last, in the same commit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import psycopg.errors
import sqlalchemy as sa
import stamina

from data.analytics.lake import Lake
from data.failpoints import hit
from data.postgres.audit_anchors import Anchors
from data.postgres.lists import send_columns_at_once
from data.postgres.shelves.allocations import AllocationShelf
from data.postgres.shelves.audit import AuditShelf
from data.postgres.shelves.bank import BankShelf
from data.postgres.shelves.billing import BillingShelf
from data.postgres.shelves.commitments import CommitmentShelf
from data.postgres.shelves.documents import DocumentShelf, MailShelf
from data.postgres.shelves.explain_reads import ExplainReadsShelf
from data.postgres.shelves.finance_reads import FinanceReadsShelf
from data.postgres.shelves.inbox import InboxShelf
from data.postgres.shelves.lake import LakeShelf
from data.postgres.shelves.ledger import LedgerShelf
from data.postgres.shelves.looks import LookShelf
from data.postgres.shelves.money_reads import MoneyReadsShelf
from data.postgres.shelves.node_reads import NodeReadsShelf
from data.postgres.shelves.nodes import NodeShelf
from data.postgres.shelves.notices import NoticeShelf
from data.postgres.shelves.operations_reads import OperationsReadsShelf
from data.postgres.shelves.outbox import OutboxShelf
from data.postgres.shelves.payers import PayerShelf
from data.postgres.shelves.payments import PaymentShelf
from data.postgres.shelves.quotes import QuoteShelf
from data.postgres.shelves.rates import RateShelf
from data.postgres.shelves.receipts import ReceiptShelf
from data.postgres.shelves.reconciliation import ReconciliationShelf
from data.postgres.shelves.refunds import DisputeShelf, RefundShelf
from data.postgres.shelves.rerating import ReratingShelf
from data.postgres.shelves.runs import RunShelf
from data.postgres.shelves.usage import UsageShelf
from data.postgres.shelves.usage_reads import UsageReadsShelf
from data.postgres.shelves.users import SessionShelf, UserShelf
from data.postgres.shelves.wallets import WalletShelf
from data.settings import Settings
from engine.audit import Anchor

T = TypeVar("T")
log = logging.getLogger(__name__)

CONNECT: dict[str, Any] = {"options": "-c timezone=UTC", "application_name": "corehours", "connect_timeout": 5}


def connect(url: str, pool_size: int = 10) -> sa.Engine:
    """An engine for `url` (postgresql://…), READ COMMITTED, connections checked before use."""
    send_columns_at_once()
    parsed = sa.make_url(url).set(drivername="postgresql+psycopg")
    return sa.create_engine(parsed, pool_pre_ping=True, pool_size=pool_size, max_overflow=pool_size,
                            connect_args=CONNECT)


def worth_retrying(error: Exception) -> bool:
    """True for a deadlock or a serialization failure: the transaction did nothing and may run again."""
    return isinstance(error, sa.exc.DBAPIError) and isinstance(
        error.orig, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure)


class PostgresTransaction:
    """One open transaction: its shelves, the database's clock, and who acts."""

    def __init__(self, connection: sa.Connection, settings: Settings, actor: str, lake: Lake) -> None:
        self.connection = connection
        self.settings = settings
        self.actor = actor
        self.place = ""                                     # names the failpoints around its commit
        self.follow_ups: list[Callable[[], None]] = []      # called once it is committed; none of them raises
        self._lake = lake

    @cached_property
    def now(self) -> datetime:
        """The database's clock at the start of this transaction, UTC."""
        moment: datetime = self.connection.execute(sa.text("select site_now()")).scalar_one()
        return moment

    @cached_property
    def audit(self) -> AuditShelf:
        """The audit chain."""
        key = self.settings.secret("audit_key").encode()
        return AuditShelf(self.connection, self.actor, self.settings.audit_key_id, key)

    @cached_property
    def payers(self) -> PayerShelf:
        """Who is billed, and at which tier."""
        return PayerShelf(self.connection)

    @cached_property
    def rates(self) -> RateShelf:
        """The rate book."""
        return RateShelf(self.connection)

    @cached_property
    def ledger(self) -> LedgerShelf:
        """The double-entry ledger."""
        return LedgerShelf(self.connection, self.actor, lambda: self.__dict__.get("now"))

    @cached_property
    def usage(self) -> UsageShelf:
        """Usage records and their charges."""
        return UsageShelf(self.connection)

    @cached_property
    def rerating(self) -> ReratingShelf:
        """Runs that are priced again."""
        return ReratingShelf(self.connection)

    @cached_property
    def runs(self) -> RunShelf:
        """Ingest runs."""
        return RunShelf(self.connection)

    @cached_property
    def lake(self) -> LakeShelf:
        """What goes to the analytics copy after the commit."""
        return LakeShelf(self.connection, self.follow_ups.append, self._lake)

    @cached_property
    def receipts(self) -> ReceiptShelf:
        """Receipts, their lines and their history."""
        return ReceiptShelf(self.connection)

    @cached_property
    def commitments(self) -> CommitmentShelf:
        """What months' minimums are reckoned from."""
        return CommitmentShelf(self.connection)

    @cached_property
    def payments(self) -> PaymentShelf:
        """What we asked providers to collect."""
        return PaymentShelf(self.connection)

    @cached_property
    def wallets(self) -> WalletShelf:
        """What is kept for payers and projects."""
        return WalletShelf(self.connection)

    @cached_property
    def inbox(self) -> InboxShelf:
        """What providers told us."""
        return InboxShelf(self.connection)

    @cached_property
    def outbox(self) -> OutboxShelf:
        """What is to be done outside once this is committed."""
        return OutboxShelf(self.connection, self.actor)

    @cached_property
    def refunds(self) -> RefundShelf:
        """Money on its way back."""
        return RefundShelf(self.connection, self.actor)

    @cached_property
    def disputes(self) -> DisputeShelf:
        """What payers' banks ask back."""
        return DisputeShelf(self.connection)

    @cached_property
    def reconciliation(self) -> ReconciliationShelf:
        """Providers' books beside ours."""
        return ReconciliationShelf(self.connection)

    @cached_property
    def money_reads(self) -> MoneyReadsShelf:
        """Lists of money in and out."""
        return MoneyReadsShelf(self.connection)

    @cached_property
    def finance_reads(self) -> FinanceReadsShelf:
        """Sums for finance and operations pages."""
        return FinanceReadsShelf(self.connection)

    @cached_property
    def operations_reads(self) -> OperationsReadsShelf:
        """Lists for operations pages."""
        return OperationsReadsShelf(self.connection)

    @cached_property
    def usage_reads(self) -> UsageReadsShelf:
        """What people read of usage."""
        return UsageReadsShelf(self.connection)

    @cached_property
    def quotes(self) -> QuoteShelf:
        """What a quote is set beside."""
        return QuoteShelf(self.connection)

    @cached_property
    def explain_reads(self) -> ExplainReadsShelf:
        """What an explanation is made of."""
        return ExplainReadsShelf(self.connection)

    @cached_property
    def documents(self) -> DocumentShelf:
        """What was handed out."""
        return DocumentShelf(self.connection)

    @cached_property
    def bank(self) -> BankShelf:
        """Lines of bank statements."""
        return BankShelf(self.connection)

    @cached_property
    def mail(self) -> MailShelf:
        """What was handed to a mail server."""
        return MailShelf(self.connection)

    @cached_property
    def nodes(self) -> NodeShelf:
        """GPU nodes that are rented out."""
        return NodeShelf(self.connection, self.actor)

    @cached_property
    def looks(self) -> LookShelf:
        """What sidecars saw at nodes' addresses."""
        return LookShelf(self.connection)

    @cached_property
    def allocations(self) -> AllocationShelf:
        """Who has which node, and what it was charged."""
        return AllocationShelf(self.connection, self.actor)

    @cached_property
    def billing(self) -> BillingShelf:
        """Charging what runs."""
        return BillingShelf(self.connection, self.actor, self.ledger)

    @cached_property
    def node_reads(self) -> NodeReadsShelf:
        """What people read of nodes."""
        return NodeReadsShelf(self.connection)

    @cached_property
    def notices(self) -> NoticeShelf:
        """What people are told."""
        return NoticeShelf(self.connection)

    @cached_property
    def users(self) -> UserShelf:
        """People who sign in."""
        return UserShelf(self.connection)

    @cached_property
    def sessions(self) -> SessionShelf:
        """Their sessions, and the throttle at the door."""
        return SessionShelf(self.connection)


class Store:
    """Postgres, the only truth. Share one per process; open one transaction per piece of work."""

    def __init__(self, engine: sa.Engine, settings: Settings) -> None:
        self.engine = engine
        self.settings = settings
        self.anchors = Anchors(Path(settings.home) / "audit", settings)
        self.lake = Lake(engine, settings)

    def audit_keys(self) -> dict[str, bytes]:
        """The keys that audit entries may be signed with, by their id."""
        return {self.settings.audit_key_id: self.settings.secret("audit_key").encode()}

    def run(self, work: Callable[[PostgresTransaction], T], actor: str = "system", place: str = "") -> T:
        """Call `work` in one transaction and commit; the audit entries it queued are part of it. `place` names the failpoints
        just before and just after the commit (`tx.place`: the work itself may name or clear it)."""
        for attempt in stamina.retry_context(on=worth_retrying, attempts=8, wait_initial=0.02, wait_max=0.5, timeout=30):
            with attempt:
                with self.engine.begin() as connection:
                    tx = PostgresTransaction(connection, self.settings, actor, self.lake)
                    tx.place = place
                    result = work(tx)
                    tail = tx.audit.flush() if "audit" in tx.__dict__ else None
                    hit(tx.place, "committing")
                hit(tx.place, "committed")
                if tail is not None:
                    self._anchor(tail)
                for follow_up in tx.follow_ups:
                    follow_up()
                return result
        raise AssertionError("stamina either returns or raises")

    def _anchor(self, tail: Anchor) -> None:
        """Note where the chain stands. What is committed is not undone by a full disk: that is told, loudly."""
        try:
            self.anchors.note(tail)
        except OSError as error:
            log.error("The audit anchor of entry %d could not be written: %s", tail.id, error)

    def read(self, work: Callable[[PostgresTransaction], T]) -> T:
        """Call `work` on one read-only snapshot: every figure in it is of the same instant."""
        with self.engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True) as connection:
            with connection.begin():
                return work(PostgresTransaction(connection, self.settings, "reader", self.lake))
