"""What the outbox does about documents: issue one after the commit it is about, and send it to whoever it concerns."""

from __future__ import annotations

from urllib.parse import quote

from data.documents.pdf import pdf
from data.settings import Settings
from engine.documents import Document, DocumentKind, Language
from engine.errors import IllegalMove
from engine.mail import letter
from engine.outbox import Job
from engine.services.documents import issue_and_send
from webhooks.delivery import deliver, sender_domain
from webhooks.jobs import ACTOR, Context


def issue(job: Job, context: Context) -> str:
    """`document.issue`: the number is taken, the facts are frozen and its mail is queued in one transaction; asked again, all of
    it is there already. What there is nothing to hand out about any more is done with."""
    kind, subject = DocumentKind(job.word("kind")), job.word("subject")
    try:
        document = context.store.run(lambda tx: issue_and_send(tx, kind, subject), actor=ACTOR, place="document.issue")
    except IllegalMove as refusal:              # what it was about is undone by now, for good: a refund that failed after all
        return refusal.detail
    return f"{document.number} is issued"


def send(job: Job, context: Context) -> str:
    """`mail.send`: one document to one address. What a mail server has taken is not handed over again."""
    settings, number, recipient = context.store.settings, job.word("document"), job.word("recipient")
    document = context.store.read(lambda tx: tx.documents.get(number))
    assert document is not None
    note = letter(document, recipient, Language(job.word("language")), sender_domain(settings), _page(settings, document))
    if context.store.read(lambda tx: tx.mail.sent(note.message_id)):
        return f"{note.message_id} was sent before"
    via = deliver(note, document.issued_at, pdf(document.facts, note.language), job, context)
    if via:
        context.store.run(lambda tx: tx.mail.note(note.message_id, recipient, number, via), actor=ACTOR, place="mail.note")
    return f"{note.message_id} through {via}" if via else "no mail server is set up: not sent"


def _page(settings: Settings, document: Document) -> str:
    """Where the document can be seen."""
    base = settings.dashboard_url.rstrip("/")
    return f"{base}/receipt?id={quote(document.subject)}" if document.kind is DocumentKind.RECEIPT else f"{base}/receipts"
