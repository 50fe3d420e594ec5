"""People who sign in, their sessions, and the throttle at the door.

A session's token never comes here, only its SHA-256. Times are the database's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from data.postgres.shelves.shelf import Shelf
from engine.documents import Language
from engine.users import Person, Role, SessionRow

_PERSON = """select u.id, u.name, u.role, u.payer, u.disabled_at, u.email, u.language,
    array(select l.project from project_lead l where l.user_id = u.id order by 1) as projects"""


def _person(row: sa.Row[Any] | None) -> Person | None:
    if row is None:
        return None
    return Person(row.id, row.name, Role(row.role), row.payer, tuple(row.projects), row.disabled_at is not None, row.email,
                  row.language)


class UserShelf(Shelf):
    """Rows of app_user and project_lead."""

    def by_name(self, name: str) -> Person | None:
        """The person called `name`, disabled or not."""
        return _person(self.one(f"{_PERSON} from app_user u where u.name = :name", name=name))

    def by_id(self, id: int) -> Person | None:
        """The person with that number, disabled or not."""
        return _person(self.one(f"{_PERSON} from app_user u where u.id = :id", id=id))

    def everybody(self) -> list[Person]:
        """All people by name."""
        rows = self.rows(f"{_PERSON} from app_user u order by u.name")
        return [person for row in rows if (person := _person(row))]

    def password_hash(self, user_id: int) -> str:
        """The bcrypt hash of a person's password."""
        row = self.one("select password_hash from app_user where id = :id", id=user_id)
        assert row is not None
        return str(row.password_hash)

    def add(self, name: str, role: Role, payer: str, password_hash: str) -> bool:
        """Insert a person; False when the name is taken."""
        return self.execute("insert into app_user (name, role, payer, password_hash) values (:name, :role, :payer, :hash)"
                            " on conflict (name) do nothing", name=name, role=role.value, payer=payer, hash=password_hash) == 1

    def set_mail(self, user_id: int, email: str, language: Language) -> None:
        """Where documents are sent, and what they are written in."""
        self.execute("update app_user set email = :email, language = :language where id = :id", id=user_id, email=email,
                     language=str(language))

    def lead(self, user_id: int, project: str) -> None:
        """Let a person see what a project used."""
        self.execute("insert into project_lead (project, user_id) values (:project, :id) on conflict do nothing",
                     project=project, id=user_id)

    def set_role(self, user_id: int, role: Role) -> None:
        """Change a person's role."""
        self.execute("update app_user set role = :role where id = :id", id=user_id, role=role.value)

    def set_password_hash(self, user_id: int, password_hash: str) -> None:
        """Replace a person's password."""
        self.execute("update app_user set password_hash = :hash where id = :id", id=user_id, hash=password_hash)

    def disable(self, user_id: int) -> None:
        """Shut a person out; their rows stay."""
        self.execute("update app_user set disabled_at = coalesce(disabled_at, now()) where id = :id", id=user_id)


class SessionShelf(Shelf):
    """Rows of app_session, sign_in_ticket and sign_in_throttle."""

    def open(self, token_hash: bytes, user_id: int, hours: int, address: str, agent: str) -> None:
        """A new session that ends in `hours` at the latest."""
        self.execute("insert into app_session (token_hash, user_id, expires_at, address, agent)"
                     " values (:hash, :id, now() + make_interval(hours => :hours), :address, :agent)",
                     hash=token_hash, id=user_id, hours=hours, address=address[:64], agent=agent[:256])

    def holder(self, token_hash: bytes, idle_minutes: int) -> Person | None:
        """Whose live session this is: not revoked, not too old, not idle too long, its person not disabled."""
        return _person(self.one(
            f"{_PERSON} from app_session s join app_user u on u.id = s.user_id"
            " where s.token_hash = :hash and s.revoked_at is null and s.expires_at > now()"
            " and s.seen_at > now() - make_interval(mins => :idle) and u.disabled_at is null",
            hash=token_hash, idle=idle_minutes))

    def touch(self, token_hash: bytes) -> None:
        """Note that somebody is at work in this session; written at most every half minute."""
        self.execute("update app_session set seen_at = now() where token_hash = :hash and revoked_at is null"
                     " and seen_at < now() - interval '30 seconds'", hash=token_hash)

    def revoke(self, token_hash: bytes) -> str | None:
        """End one session; the name of its person, None when it was no live one."""
        row = self.one("update app_session s set revoked_at = now() from app_user u where u.id = s.user_id"
                       " and token_hash = :hash and revoked_at is null returning u.name", hash=token_hash)
        return row.name if row else None

    def revoke_all(self, user_id: int, but: bytes = b"") -> int:
        """End every session of a person except `but`; how many."""
        return self.execute("update app_session set revoked_at = now() where user_id = :id and revoked_at is null"
                            " and token_hash <> :but", id=user_id, but=but)

    def live(self, user_id: int, idle_minutes: int) -> list[SessionRow]:
        """A person's live sessions, the latest used first."""
        rows = self.rows("select token_hash, created_at, seen_at, address, agent from app_session where user_id = :id"
                         " and revoked_at is null and expires_at > now() and seen_at > now() - make_interval(mins => :idle)"
                         " order by seen_at desc", id=user_id, idle=idle_minutes)
        return [SessionRow(bytes(row.token_hash), row.created_at, row.seen_at, row.address, row.agent) for row in rows]

    def leave_ticket(self, door_hash: bytes, user_id: int, target: str, seconds: int) -> None:
        """Let the browser behind `door_hash` fetch a session for `user_id`, once, within `seconds`."""
        self.execute("insert into sign_in_ticket (door_hash, user_id, target, expires_at)"
                     " values (:door, :id, :target, now() + make_interval(secs => :seconds))"
                     " on conflict (door_hash) do update set user_id = :id, target = :target, expires_at = excluded.expires_at",
                     door=door_hash, id=user_id, target=target, seconds=seconds)

    def take_ticket(self, door_hash: bytes) -> tuple[int, str, str] | None:
        """The ticket left for this browser as (user id, user name, target); it is gone afterwards."""
        row = self.one("with taken as (delete from sign_in_ticket where door_hash = :door returning *)"
                       " select u.id, u.name, t.target from taken t join app_user u on u.id = t.user_id"
                       " where t.expires_at > now() and u.disabled_at is null", door=door_hash)
        return (row.id, row.name, row.target) if row else None

    def tries(self, name: str, address: str) -> tuple[Sequence[datetime], datetime | None]:
        """Attempts that did not succeed and the end of the lock, the row locked until commit."""
        self.execute("insert into sign_in_throttle (name, address) values (:name, :address) on conflict do nothing",
                     name=name, address=address)
        row = self.one("select tried_at, locked_until from sign_in_throttle where name = :name and address = :address"
                       " for update", name=name, address=address)
        assert row is not None
        return row.tried_at, row.locked_until

    def note_tries(self, name: str, address: str, tried_at: Sequence[datetime], locked_until: datetime | None) -> None:
        """Replace what `tries` read."""
        self.execute("update sign_in_throttle set tried_at = cast(:tried as timestamptz[]), locked_until = :until"
                     " where name = :name and address = :address",
                     name=name, address=address, tried=list(tried_at), until=locked_until)

    def sweep(self) -> None:
        """Forget tickets nobody fetched, throttle rows of days past and sessions long over."""
        self.execute("delete from sign_in_ticket where expires_at < now()")
        self.execute("delete from sign_in_throttle where coalesce(locked_until, tried_at[cardinality(tried_at)], '-infinity')"
                     " < now() - interval '1 day'")
        self.execute("delete from app_session where expires_at < now() - interval '90 days'")
