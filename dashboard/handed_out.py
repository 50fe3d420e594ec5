"""Documents as files: the buttons that hand a PDF over. It is made when somebody asks for it, in the language they choose."""

from __future__ import annotations

import streamlit as st

from dashboard.connection import store
from data.documents.pdf import pdf
from data.postgres.store import PostgresTransaction
from engine.documents import Document, Language
from engine.errors import NotAllowed
from engine.receipts import Receipt
from engine.services.documents import receipt_document
from engine.users import Person

LANGUAGES = {Language.ENGLISH: "PDF", Language.THAI: "PDF ไทย"}


def receipt_downloads(person: Person, receipt: Receipt) -> None:
    """The receipt in English and Thai. What a click calls runs outside the page: it knows who drew the button, and asks again
    whether they still are who they were."""
    for language, label in LANGUAGES.items():
        st.download_button(label, lambda language=language: receipt_pdf(person, receipt.id, language), f"{receipt.number}-{language}.pdf",
                           "application/pdf", on_click="ignore", icon=":material/download:", key=f"pdf_{language}",
                           help="The receipt as it was issued")


def receipt_pdf(person: Person, name: str, language: Language) -> bytes:
    """A receipt on paper; it is issued first when nobody has done so."""
    def found(tx: PostgresTransaction) -> tuple[Document, Receipt]:
        if tx.users.by_name(person.name) != person:
            raise NotAllowed("Your account has just changed: reload the page.")
        return receipt_document(tx, name, person)
    document, receipt = store().run(found, actor=person.name)
    return pdf(document.facts, language, receipt.status)
