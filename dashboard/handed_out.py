"""Documents as files: the buttons that hand a PDF over. It is made when somebody asks for it, in the language they choose."""

from __future__ import annotations

import streamlit as st

from dashboard.access import me
from dashboard.connection import store
from data.documents.pdf import pdf
from engine.documents import DocumentKind, Language
from engine.receipts import Receipt
from engine.services.documents import get_document, receipt_document
from engine.users import Person

LANGUAGES = {Language.ENGLISH: "PDF", Language.THAI: "PDF ไทย"}


def receipt_downloads(person: Person, receipt: Receipt) -> None:
    """The receipt in English and Thai, and the receipts of its payments and refunds where there are any."""
    for language, label in LANGUAGES.items():
        st.download_button(label, lambda language=language: receipt_pdf(me(), receipt.id, language), f"{receipt.number}-{language}.pdf",
                           "application/pdf", on_click="ignore", icon=":material/download:", key=f"pdf_{language}",
                           help="The receipt as it was issued")


def receipt_pdf(person: Person, name: str, language: Language) -> bytes:
    """A receipt on paper; it is issued first when nobody has done so."""
    document, receipt = store().run(lambda tx: receipt_document(tx, name, person), actor=person.name)
    return pdf(document.facts, language, receipt.status)


def document_pdf(person: Person, number: str, language: Language) -> bytes:
    """Any document on paper."""
    document = store().read(lambda tx: get_document(tx, number, person))
    if document.kind is DocumentKind.RECEIPT:
        return receipt_pdf(person, document.subject, language)
    return pdf(document.facts, language)
