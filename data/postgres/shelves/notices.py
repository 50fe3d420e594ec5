"""What people are told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from data.postgres.shelves.shelf import Shelf
from engine.notices import News, Notice, NoticeKind


class NoticeShelf(Shelf):
    """Rows of notice."""

    def add_many(self, news: Sequence[News]) -> list[int]:
        """Tell people; the numbers of those that are to be mailed: to whom has an address and is not shut out."""
        rows = self.rows(
            "with fresh as (insert into notice (user_id, kind, subject, facts)"
            " select n.user_id, n.kind, n.subject, cast(n.facts as jsonb) from unnest(cast(:users as bigint[]), cast(:kinds as text[]),"
            " cast(:subjects as text[]), cast(:facts as text[])) with ordinality n(user_id, kind, subject, facts, place) order by place"
            " returning id, user_id)"
            " select f.id from fresh f join app_user u on u.id = f.user_id where u.email <> '' and u.disabled_at is null order by f.id",
            users=[one.user_id for one in news], kinds=[str(one.kind) for one in news], subjects=[one.subject for one in news],
            facts=[json.dumps(dict(one.facts)) for one in news])
        return [row.id for row in rows]

    def told(self, subject: str, kind: NoticeKind, since: datetime | None = None) -> bool:
        """Whether anybody was told that of `subject`, ever or since then."""
        return self.one("select 1 from notice where subject = :subject and kind = :kind"
                        " and (cast(:since as timestamptz) is null or created_at >= :since) limit 1",
                        subject=subject, kind=str(kind), since=since) is not None

    def get(self, id: int) -> Notice | None:
        """One by its number."""
        found = self._listed("id = :id", id=id)
        return found[0] if found else None

    def of_user(self, user_id: int, unseen: bool = False, most: int = 100) -> list[Notice]:
        """What somebody was told, the newest first."""
        return self._listed(f"user_id = :user {'and seen_at is null' if unseen else ''} order by id desc limit :most",
                            user=user_id, most=most)

    def unseen(self, user_id: int) -> tuple[int, int]:
        """How many somebody has not seen, and the newest one's number, 0 where there is none."""
        row = self.one("select count(*) as many, coalesce(max(id), 0) as newest from notice where user_id = :user and seen_at is null",
                       user=user_id)
        assert row is not None
        return int(row.many), int(row.newest)

    def seen(self, user_id: int, upto: int) -> int:
        """Note that somebody saw theirs up to number `upto`; how many were new."""
        return self.execute("update notice set seen_at = site_now() where user_id = :user and id <= :upto and seen_at is null",
                            user=user_id, upto=upto)

    def _listed(self, where: str, **values: object) -> list[Notice]:
        return [Notice(row.id, row.user_id, NoticeKind(row.kind), row.subject, row.facts, row.created_at, row.seen_at) for row in self.rows(
            f"select id, user_id, kind, subject, facts, created_at, seen_at from notice where {where}", **values)]  # noqa: S608
