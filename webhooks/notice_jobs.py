"""The outbox's `notice.send`: one notice to the address of whoever it is for, in their language."""

from __future__ import annotations

from data.postgres.store import PostgresTransaction
from engine.documents import Language
from engine.mail import Letter
from engine.notice_words import notice_letter
from engine.notices import Notice
from engine.outbox import Job
from webhooks.delivery import deliver, sender_domain
from webhooks.jobs import ACTOR, Context


def send(job: Job, context: Context) -> str:
    """What a mail server has taken is not handed over again; who has no address any more, or is shut out, gets none."""
    notice, letter, sent = context.store.read(lambda tx: _written(tx, int(job.key)))
    if letter is None:
        return "there is nobody to write to: not sent"
    if sent:
        return f"{letter.message_id} was sent before"
    via = deliver(letter, notice.created_at, b"", job, context)
    if via:
        context.store.run(lambda tx: tx.mail.note(letter.message_id, letter.recipient, None, via), actor=ACTOR, place="mail.note")
    return f"{letter.message_id} through {via}" if via else "no mail server is set up: not sent"


def _written(tx: PostgresTransaction, number: int) -> tuple[Notice, Letter | None, bool]:
    """A notice as a letter, and whether that was sent before."""
    notice, settings = tx.notices.get(number), tx.settings
    assert notice is not None
    person = tx.users.by_id(notice.user_id)
    if person is None or not person.email or person.disabled:
        return notice, None, False
    letter = notice_letter(notice, person.email, Language(person.language), settings.zone, settings.site_name, sender_domain(settings),
                           settings.dashboard_url.rstrip("/"))
    return notice, letter, tx.mail.sent(letter.message_id)
