"""Documents as they were handed out, what a receipt's is made of, and the mail that carried them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa

from data.postgres.shelves.shelf import Shelf
from data.postgres.shelves.usage_reads import UsageReadsShelf
from engine.documents import Document, DocumentKind, from_json, to_json


class DocumentShelf(Shelf):
    """Rows of document."""

    def hold(self, kind: DocumentKind, subject: str) -> None:
        """Whoever issues the same document waits here until this transaction is over."""
        self.rows("select pg_advisory_xact_lock(hashtextextended(:name, 0))", name=f"document:{kind}:{subject}")

    def add(self, document: Document, series: str, year: int, sequence: int) -> None:
        """Write a document; one of the same kind about the same subject is refused by the database."""
        facts = document.facts
        self.execute(
            "insert into document (kind, subject, series, year, sequence, number, payer, currency, total_micro, facts, issued_at)"
            " values (:kind, :subject, :series, :year, :sequence, :number, :payer, :currency, :total, cast(:facts as jsonb), :at)",
            kind=str(document.kind), subject=document.subject, series=series, year=year, sequence=sequence, number=document.number,
            payer=document.payer, currency=facts.currency, total=facts.total_micro,
            facts=json.dumps(to_json(facts), ensure_ascii=False), at=document.issued_at)

    def of_subject(self, kind: DocumentKind, subject: str) -> Document | None:
        """The document about a receipt, payment or refund."""
        return _document(self.one("select * from document where kind = :kind and subject = :subject", kind=str(kind), subject=subject))

    def get(self, number: str) -> Document | None:
        """The document with that number."""
        return _document(self.one("select * from document where number = :number", number=number))

    def about(self, subjects: Sequence[str]) -> list[Document]:
        """The documents about these payments and refunds, oldest first."""
        rows = self.rows("select * from document where kind <> 'receipt' and subject = any(:subjects) order by issued_at, id",
                         subjects=list(subjects))
        return [document for row in rows if (document := _document(row))]

    def all(self, payers: Sequence[str] | None = None, most: int = 1000) -> list[Document]:
        """The newest documents, of some payers only when asked."""
        rows = self.rows("select * from document where cast(:payers as text[]) is null or payer = any(:payers)"
                         " order by issued_at desc, id desc limit :most",
                         payers=None if payers is None else list(payers), most=most)
        return [document for row in rows if (document := _document(row))]

    def numbered(self, receipt_id: str) -> tuple[str, int, int]:
        """Series, year and sequence of a receipt."""
        row = self.one("select series, year, sequence from receipt where id = :id", id=receipt_id)
        assert row is not None
        return row.series, row.year, row.sequence

    def by_meter(self, receipt_id: str) -> pl.DataFrame:
        """A receipt's lines summed by kind and card."""
        return UsageReadsShelf(self.connection).receipt_by_meter(receipt_id)

    def by_job(self, receipt_id: str) -> pl.DataFrame:
        """A receipt's lines with the job each is for."""
        return UsageReadsShelf(self.connection).receipt_jobs(receipt_id)


class MailShelf(Shelf):
    """Rows of mail."""

    def sent(self, message_id: str) -> bool:
        """True when a mail server has taken this message."""
        return self.one("select 1 from mail where message_id = :id", id=message_id) is not None

    def note(self, message_id: str, recipient: str, document: str | None, via: str) -> None:
        """A mail server has taken it."""
        self.execute("insert into mail (message_id, recipient, document, via) values (:id, :recipient, :document, :via)"
                     " on conflict do nothing", id=message_id, recipient=recipient, document=document, via=via)


def _document(row: sa.Row[Any] | None) -> Document | None:
    return Document(row.number, row.subject, row.payer, from_json(row.facts), row.issued_at) if row else None
