"""Handing a letter over: through the site's mail server, or into a folder where there is none in development."""

from __future__ import annotations

from datetime import datetime
from email.utils import parseaddr

from data.settings import Settings
from engine.mail import Letter
from engine.outbox import Job
from webhooks import mail
from webhooks.jobs import Context


def deliver(letter: Letter, at: datetime, paper: bytes, job: Job, context: Context) -> str:
    """Hand it over, dated `at`; through what, "" when nothing was done. Raises JobTrouble."""
    settings = context.store.settings
    sender = settings.mail_from or f"{settings.site_name} <billing@{sender_domain(settings)}>"
    wire = mail.message(letter, sender, at, paper)
    if settings.smtp_url is not None:
        server = mail.Server.from_url(settings.smtp_url.get_secret_value())
        context.hold(job)
        mail.send(server, parseaddr(sender)[1], letter.recipient, wire)
        return server.host
    if settings.development:
        return str(mail.keep(settings.home / "mail", letter, wire).parent.name)
    return ""


def sender_domain(settings: Settings) -> str:
    """The domain that mail comes from, which its names end with."""
    return parseaddr(settings.mail_from)[1].partition("@")[2] or "corehours.invalid"
