"""What the wallet pages show, each page's figures from one snapshot of Postgres. Whose wallet somebody may see the services
say. Draws nothing, changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from dashboard.connection import store
from data.postgres.store import PostgresTransaction
from engine.documents import Document
from engine.money import Money
from engine.payments import Payment
from engine.receipts import Receipt
from engine.services import documents as document_service
from engine.services import receipts as receipt_service
from engine.services import wallets as service
from engine.users import Action, Person
from engine.wallets import Adjustment, ProjectWallet, Wallet, project_of, statement_word


@dataclass(frozen=True, slots=True)
class WalletPage:
    """One wallet in one currency: what it holds, what its payer owes, its movements, and what is on its way to it."""

    now: datetime
    wallet: Wallet
    owners: list[str]
    currencies: list[str]
    owed_micro: int
    owed_receipts: int
    statement: pl.DataFrame             # STATEMENT_SCHEMA and `what`
    under_way: list[Payment]
    project: ProjectWallet | None
    may_use: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """What a top-up may be: amounts in micro-units of `currency`, and through whom."""

    currency: str
    amounts_micro: list[int]
    least: Money
    most: Money
    providers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finance:
    """Every wallet, what waits for a second person, and money that fits nobody."""

    now: datetime
    wallets: list[Wallet]
    projects: list[ProjectWallet]
    adjustments: list[Adjustment]
    unapplied: list[Payment]
    limit_micro: int
    currency: str


def page(person: Person, owner: str, currency: str) -> WalletPage:
    """The wallet `owner` (empty: the person's own) in `currency` (empty: its first); refused to whoever may not see it."""
    return store().read(lambda tx: _page(tx, person, owner, currency))


def _page(tx: PostgresTransaction, person: Person, owner: str, currency: str) -> WalletPage:
    mine = service.owners_of(tx, person)
    owner = owner or mine[0]
    held = service.see_wallet(tx, owner, person)
    wallet = next((one for one in held if one.currency == currency), held[0])
    owed = [] if project_of(owner) else tx.receipts.all([owner], ["pending"])
    owed = [receipt for receipt in owed if receipt.currency == wallet.currency]
    may_use = person.may(Action.PAY) and (owner in mine or person.may(Action.SETTLE))
    return WalletPage(
        now=tx.now, wallet=wallet, owners=list(dict.fromkeys([*mine, owner])), currencies=[one.currency for one in held],
        owed_micro=sum(receipt.total_micro for receipt in owed), owed_receipts=len(owed),
        statement=_said(tx.wallets.statement(owner, wallet.currency, tx.settings.time_zone)),
        under_way=[payment for payment in tx.payments.topups_under_way(owner) if payment.open(tx.now)],
        project=tx.wallets.project(project_of(owner) or ""), may_use=may_use)


def _said(statement: pl.DataFrame) -> pl.DataFrame:
    return statement.with_columns(pl.Series("what", [statement_word(key) for key in statement["key"]], pl.String))


def offer(person: Person, owner: str) -> Offer:
    """What may be put into a wallet, as the service will check it."""
    def read(tx: PostgresTransaction) -> Offer:
        service.see_wallet(tx, owner, person)
        settings, currency = tx.settings, service.currencies_of(tx, owner)[0]
        return Offer(currency, settings.topup_amounts_micro, Money(settings.topup_minimum_micro, currency),
                     Money(settings.topup_maximum_micro, currency), settings.payment_providers)
    return store().read(read)


def topup(person: Person, reference: str) -> tuple[Payment, Wallet, datetime]:
    """A top-up, the wallet it is for, and the database's clock."""
    def read(tx: PostgresTransaction) -> tuple[Payment, Wallet, datetime]:
        payment = service.get_topup(tx, reference, person)
        return payment, tx.wallets.get(payment.wallet, payment.currency), tx.now
    return store().read(read)


def for_receipt(person: Person, name: str) -> tuple[Receipt, list[Wallet]]:
    """A receipt and the wallets that this person may pay it from, those that hold nothing left out."""
    def read(tx: PostgresTransaction) -> tuple[Receipt, list[Wallet]]:
        receipt = receipt_service.get_receipt(tx, name, person)
        held = [tx.wallets.get(owner, receipt.currency) for owner in service.owners_for(tx, receipt, person)]
        return receipt, [wallet for wallet in held if wallet.balance_micro]
    return store().read(read)


def documents(person: Person, owner: str) -> list[Document]:
    """What was handed out about the money of a wallet, the newest first."""
    return store().read(lambda tx: document_service.documents_of_wallet(tx, owner, person))


def documents_about(person: Person, name: str) -> list[Document]:
    """What was handed out about the money of a receipt, oldest first."""
    return store().read(lambda tx: document_service.documents_about(tx, name, person))


def providers() -> tuple[str, ...]:
    """Those that payers may choose from."""
    return store().settings.payment_providers


def finance() -> Finance:
    """Everything on finance's page of wallets."""
    def read(tx: PostgresTransaction) -> Finance:
        return Finance(tx.now, tx.wallets.all(), tx.wallets.projects(), tx.wallets.adjustments(), tx.payments.unapplied(),
                       tx.settings.adjustment_limit_micro, tx.settings.default_currency)
    return store().read(read)
