"""Documents as files: the buttons that hand a PDF over. It is made when somebody asks for it, in the language they choose."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import tables, words
from dashboard.connection import store
from data.documents.pdf import pdf
from data.postgres.store import PostgresTransaction
from engine.document_words import title
from engine.documents import Document, Language
from engine.errors import NotAllowed
from engine.receipts import Receipt
from engine.services.documents import get_document, receipt_document
from engine.users import Person

LANGUAGES = {Language.ENGLISH: "PDF", Language.THAI: "PDF ไทย"}


def receipt_downloads(person: Person, receipt: Receipt) -> None:
    """The receipt in English and Thai. What a click calls runs outside the page: it knows who drew the button, and asks again
    whether they still are who they were."""
    for language, label in LANGUAGES.items():
        st.download_button(label, lambda language=language: receipt_pdf(person, receipt.id, language), f"{receipt.number}-{language}.pdf",
                           "application/pdf", on_click="ignore", icon=":material/download:", key=f"pdf_{language}",
                           help="The receipt as it was issued")


def downloads(person: Person, found: Sequence[Document]) -> None:
    """Documents about money, a line each: what it is, its day and amount, and the paper under its number."""
    for document in found:
        facts = document.facts
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.markdown(tables.small(f"{title(document.kind, Language.ENGLISH)} · {words.day(facts.on)} · "
                                     f"{words.money(facts.total_micro, facts.currency)}"), width="content")
            with st.container(horizontal=True, vertical_alignment="center", width="content"):
                for language, label in ((Language.ENGLISH, document.number), (Language.THAI, "ไทย")):
                    st.download_button(label, lambda number=document.number, language=language: document_pdf(person, number, language),
                                       f"{document.number}-{language}.pdf", "application/pdf", on_click="ignore",
                                       icon=":material/download:", key=f"pdf_{document.number}_{language}",
                                       help="As it was issued, in English" if language is Language.ENGLISH else "As it was issued, in Thai")


def document_pdf(person: Person, number: str, language: Language) -> bytes:
    """A document on paper, as it was handed out."""
    def found(tx: PostgresTransaction) -> Document:
        _unchanged(tx, person)
        return get_document(tx, number, person)
    return pdf(store().read(found).facts, language)


def _unchanged(tx: PostgresTransaction, person: Person) -> None:
    if tx.users.by_name(person.name) != person:
        raise NotAllowed("Your account has just changed: reload the page.")


def receipt_pdf(person: Person, name: str, language: Language) -> bytes:
    """A receipt on paper; it is issued first when nobody has done so."""
    def found(tx: PostgresTransaction) -> tuple[Document, Receipt]:
        _unchanged(tx, person)
        return receipt_document(tx, name, person)
    document, receipt = store().run(found, actor=person.name)
    return pdf(document.facts, language, receipt.status)
