"""Mail: what one says that carries a document, and the name that each always has.

The Message-ID follows from what it is about and its recipient, so the same mail sent twice, after an answer that was lost, is the
same message to every mail system. Pure: knows no server and no file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from engine.document_text import BREAK, clean
from engine.document_words import day, title
from engine.documents import Document, DocumentKind, Language
from engine.money import amount_text

SEND = "mail.send"
OPENING = {
    DocumentKind.RECEIPT: ("{title} {number} is attached: {total} to be paid by {due}.",
                           "แนบ{title} {number}: ยอดชำระ {total} ภายใน {due}"),
    DocumentKind.PAYMENT_RECEIPT: ("We have received {total}. {title} {number} is attached.",
                                   "เราได้รับเงิน {total} แล้ว แนบ{title} {number}"),
    DocumentKind.CREDIT_NOTE: ("We have given back {total}. {title} {number} is attached.",
                               "เราได้คืนเงิน {total} แล้ว แนบ{title} {number}"),
    DocumentKind.DEBIT_NOTE: ("A refund of {total} did not arrive and is back with us. {title} {number} is attached: it takes the credit "
                              "note back.", "การคืนเงิน {total} ไม่สำเร็จ แนบ{title} {number} เพื่อยกเลิกใบลดหนี้"),
}


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail: to whom, and what it says. The document, if it names one, goes with it as PDF."""

    message_id: str
    recipient: str
    subject: str
    body: str
    document: str
    language: Language


def message_id(document: str, recipient: str, domain: str) -> str:
    """`<ch-2026-000001.0f3a…@example.org>`: the same for the same document and recipient."""
    digest = hashlib.sha256(f"{document}\n{recipient.lower()}".encode()).hexdigest()[:20]
    return f"<{document.lower()}.{digest}@{domain}>"


def letter(document: Document, recipient: str, language: Language, domain: str, page: str) -> Letter:
    """The mail that brings `document` to `recipient`; `page` is where it can be seen."""
    facts, thai = document.facts, language is Language.THAI
    name = title(facts.kind, language)
    opening = OPENING[facts.kind][thai].format(
        title=name, number=document.number, total=f"{amount_text(facts.total_micro, facts.currency)} {facts.currency}",
        due=day(facts.due, language) if facts.due else "–")
    site = clean(facts.issuer.name).replace(BREAK, "")
    return Letter(message_id(document.number, recipient, domain), recipient, f"{name} {document.number}, {site}",
                  f"{opening}\n\n{page}\n\n{site}\n", document.number, language)


def send_job(document: str, recipient: str, language: str) -> tuple[str, str, dict[str, object]]:
    """Kind, key and payload of the job that sends a document to one address."""
    return SEND, f"{document}:{recipient.lower()}", {"document": document, "recipient": recipient, "language": language}
