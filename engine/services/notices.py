"""Tell people."""

from __future__ import annotations

from collections.abc import Mapping

from engine.notices import NoticeKind
from engine.ports import Transaction


def tell(tx: Transaction, user_id: int, kind: NoticeKind, subject: str, facts: Mapping[str, object]) -> None:
    """Tell somebody."""
    tx.notices.add(user_id, kind, subject, facts)
