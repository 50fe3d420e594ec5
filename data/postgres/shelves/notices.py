"""What people are told."""

from __future__ import annotations

import json
from collections.abc import Mapping

from data.postgres.shelves.shelf import Shelf
from engine.notices import Notice, NoticeKind


class NoticeShelf(Shelf):
    """Rows of notice."""

    def add(self, user_id: int, kind: NoticeKind, subject: str, facts: Mapping[str, object]) -> int:
        """Tell somebody; the notice's number."""
        row = self.one("insert into notice (user_id, kind, subject, facts) values (:user, :kind, :subject, cast(:facts as jsonb))"
                       " returning id", user=user_id, kind=str(kind), subject=subject, facts=json.dumps(facts))
        assert row is not None
        return int(row.id)

    def get(self, id: int) -> Notice | None:
        """One by its number."""
        found = self._listed("id = :id", id=id)
        return found[0] if found else None

    def of_user(self, user_id: int, unseen: bool = False, most: int = 100) -> list[Notice]:
        """What somebody was told, the newest first."""
        return self._listed(f"user_id = :user {'and seen_at is null' if unseen else ''} order by id desc limit :most",
                            user=user_id, most=most)

    def seen(self, user_id: int, upto: int) -> int:
        """Note that somebody saw theirs up to number `upto`; how many were new."""
        return self.execute("update notice set seen_at = site_now() where user_id = :user and id <= :upto and seen_at is null",
                            user=user_id, upto=upto)

    def _listed(self, where: str, **values: object) -> list[Notice]:
        return [Notice(row.id, row.user_id, NoticeKind(row.kind), row.subject, row.facts, row.created_at, row.seen_at) for row in self.rows(
            f"select id, user_id, kind, subject, facts, created_at, seen_at from notice where {where}", **values)]  # noqa: S608
