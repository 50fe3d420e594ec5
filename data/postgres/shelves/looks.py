"""What sidecars saw at nodes' addresses."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from data.postgres.shelves.shelf import Shelf
from engine.looks import Look, probe_facts, probe_of
from engine.ssh_keys import parse_public_key

_COLUMNS = ", ".join(Look.__slots__)


class LookShelf(Shelf):
    """Rows of look."""

    def add(self, look: Look) -> None:
        """Write a new one."""
        self.execute("insert into look (id, node_id, name, host, port, asked_by, asked_at, host_key, confirmed_by)"
                     " values (:id, :node_id, :name, :host, :port, :asked_by, :asked_at, :host_key, :confirmed_by)",
                     id=look.id, node_id=look.node_id, name=look.name, host=look.host, port=look.port, asked_by=look.asked_by,
                     asked_at=look.asked_at, host_key=look.host_key.line if look.host_key else None, confirmed_by=look.confirmed_by)

    def keep(self, look: Look) -> None:
        """Write what is known by now."""
        self.execute("update look set host_key = :host_key, confirmed_by = :confirmed_by, probe = cast(:probe as jsonb),"
                     " trouble = :trouble, done_at = :done_at where id = :id", id=look.id,
                     host_key=look.host_key.line if look.host_key else None, confirmed_by=look.confirmed_by,
                     probe=json.dumps(probe_facts(look.probe)) if look.probe else None, trouble=look.trouble, done_at=look.done_at)

    def get(self, id: str, lock: bool = False) -> Look | None:
        """One by its id, locked until the end of the transaction if asked."""
        return _look(self.one(f"select {_COLUMNS} from look where id = :id {'for update' if lock else ''}", id=id))  # noqa: S608

    def last_test(self, node_id: str) -> Look | None:
        """The newest test of a node."""
        return _look(self.one(f"select {_COLUMNS} from look where node_id = :id order by asked_at desc limit 1", id=node_id))  # noqa: S608


def _look(row: sa.Row[Any] | None) -> Look | None:
    if row is None:
        return None
    return Look(**{**row._mapping, "host_key": parse_public_key(row.host_key) if row.host_key else None,
                   "probe": probe_of(row.probe) if row.probe else None})
