"""What the outbox does about documents: issue one after the commit it is about, and send it to whoever it concerns."""

from __future__ import annotations

from email.utils import parseaddr
from urllib.parse import quote

from data.documents.pdf import pdf
from data.settings import Settings
from engine.documents import Document, DocumentKind, Language
from engine.errors import IllegalMove
from engine.mail import Letter, letter
from engine.outbox import Job
from engine.services.documents import issue_and_send
from webhooks import mail
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
    via = _deliver(settings, note, document, job, context)
    if via:
        context.store.run(lambda tx: tx.mail.note(note.message_id, recipient, number, via), actor=ACTOR, place="mail.note")
    return f"{note.message_id} through {via}" if via else "no mail server is set up: not sent"


def _deliver(settings: Settings, note: Letter, document: Document, job: Job, context: Context) -> str:
    """Hand it over, or keep it where there is no server in development; through what, "" when nothing was done."""
    sender = settings.mail_from or f"{settings.site_name} <billing@{sender_domain(settings)}>"
    wire = mail.message(note, sender, document.issued_at, pdf(document.facts, note.language))
    if settings.smtp_url is not None:
        server = mail.Server.from_url(settings.smtp_url.get_secret_value())
        context.hold(job)
        mail.send(server, parseaddr(sender)[1], note.recipient, wire)
        return server.host
    if settings.development:
        return str(mail.keep(settings.home / "mail", note, wire).parent.name)
    return ""


def sender_domain(settings: Settings) -> str:
    """The domain that mail comes from, which its names end with."""
    return parseaddr(settings.mail_from)[1].partition("@")[2] or "corehours.invalid"


def _page(settings: Settings, document: Document) -> str:
    """Where the document can be seen."""
    base = settings.dashboard_url.rstrip("/")
    return f"{base}/receipt?id={quote(document.subject)}" if document.kind is DocumentKind.RECEIPT else f"{base}/receipts"
