"""Tell people something: a notice on their pages and, where they have an address, a mail; in the transaction of what it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.notices import News, NoticeKind, send_job
from engine.ports import Transaction


def tell(tx: Transaction, user_id: int, kind: NoticeKind, subject: str, facts: Mapping[str, object]) -> None:
    """Tell one person one thing. `facts` are those that FACTS names for its kind."""
    tell_many(tx, [News(user_id, kind, subject, facts)])


def tell_many(tx: Transaction, news: Sequence[News]) -> None:
    """The same for many, in two round trips."""
    if news:
        tx.outbox.add_many([send_job(number) for number in tx.notices.add_many(news)])
