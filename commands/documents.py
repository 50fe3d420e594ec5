"""Documents on the command line: list them, and write one as PDF."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from commands.installation import installation
from commands.output import table
from data.documents.pdf import pdf
from data.postgres.store import Store
from engine.documents import Document, DocumentKind, Language, to_json
from engine.errors import DomainError, NotFound
from engine.money import amount_text
from engine.policy import OPERATOR
from engine.receipts import ReceiptStatus
from engine.services.documents import get_document, list_documents, receipt_document

HELP = "documents: list, show NUMBER, pdf NUMBER --language en|th -o FILE"


class NotWritten(DomainError):
    """The file could not be written."""

    code = "not_written"


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `documents`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    listing = verbs.add_parser("list", help="what was handed out, newest first")
    listing.add_argument("-u", "--user", help="of one payer")
    show = verbs.add_parser("show", help="the facts of one document")
    paper = verbs.add_parser("pdf", help="write one as PDF; a receipt is issued first when that has not been done")
    for verb in (show, paper):
        verb.add_argument("number", help="such as CH-2026-000001")
    paper.add_argument("--language", choices=[str(language) for language in Language], default="en")
    paper.add_argument("-o", "--output", help="the file; default: NUMBER-LANGUAGE.pdf")
    for verb in (listing, show, paper):
        verb.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Do what the verb says."""
    with installation() as store:
        if args.verb == "list":
            print(_listing(store, args))
        elif args.verb == "show":
            document, _ = _found(store, args.number)
            print(json.dumps(to_json(document.facts), ensure_ascii=False, indent=None if args.json else 2))
        else:
            print(_written(*_found(store, args.number), args))
    return 0


def _listing(store: Store, args: argparse.Namespace) -> str:
    found = [document for document in store.read(lambda tx: list_documents(tx, OPERATOR)) if args.user in (None, document.payer)]
    if args.json:
        return json.dumps([_summary(document) for document in found])
    rows = [(document.number, str(document.kind).replace("_", " "), document.payer, amount_text(document.facts.total_micro,
             document.facts.currency), document.facts.currency, document.facts.on) for document in found]
    return table(("Number", "Kind", "Whose", "Total", "", "Date"), rows, right=(3,)) if rows else "Nothing has been handed out yet."


def _found(store: Store, number: str) -> tuple[Document, ReceiptStatus | None]:
    """A document by its number, and where its receipt stands; a receipt's is issued when it has not been."""
    try:
        document = store.read(lambda tx: get_document(tx, number, OPERATOR))
    except NotFound:
        if store.read(lambda tx: tx.receipts.get(number)) is None:
            raise
    else:
        if document.kind is not DocumentKind.RECEIPT:
            return document, None
    document, receipt = store.run(lambda tx: receipt_document(tx, number, OPERATOR), actor=OPERATOR.name)
    return document, receipt.status


def _written(document: Document, standing: ReceiptStatus | None, args: argparse.Namespace) -> str:
    made = pdf(document.facts, Language(args.language), standing)
    file = Path(args.output or f"{document.number}-{args.language}.pdf")
    try:
        file.write_bytes(made)
    except OSError as error:
        raise NotWritten(f"{file}: {error.strerror}.") from None
    return json.dumps({"number": document.number, "language": args.language, "file": str(file), "bytes": len(made)}) if args.json else (
        f"{file}: {document.number}, {len(made):,} bytes")


def _summary(document: Document) -> dict[str, object]:
    facts = document.facts
    return {"number": document.number, "kind": str(document.kind), "subject": document.subject, "payer": document.payer,
            "total_micro": facts.total_micro, "currency": facts.currency, "date": facts.on.isoformat(),
            "issued_at": document.issued_at.isoformat(timespec="seconds").replace("+00:00", "Z")}
