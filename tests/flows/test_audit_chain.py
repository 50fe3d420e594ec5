"""The audit chain in Postgres: many writers at once never fork it, and whatever is done to its rows is found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from commands.check import findings
from data.postgres.store import Store
from engine.audit import Anchor, Verification, verify
from engine.errors import NotAllowed
from tests.engine.usage_frames import run
from tests.flows.examples import keep_runs


def walk(store: Store) -> Verification:
    return store.read(lambda tx: verify(tx.audit.chain(), tx.audit.head(), store.anchors.read(), store.audit_keys()))


def write(store: Store, number: int) -> None:
    store.run(lambda tx: tx.audit.record("test.written", f"thing:{number}", number=number), actor=f"writer{number % 16}")


def as_intruder(store: Store, *statements: str) -> None:
    """Somebody with every right on the database switches our guards off and does as they please."""
    with store.engine.begin() as connection:
        for table in ("audit_entry", "audit_head"):
            connection.execute(sa.text(f"alter table {table} disable trigger all"))
        for statement in statements:
            connection.execute(sa.text(statement))


def test_sixteen_writers_make_one_chain(store: Store) -> None:
    before = walk(store).checked
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: write(store, number), range(160)))
    found = walk(store)
    assert (found.ok, found.checked) == (True, before + 160)


@pytest.mark.parametrize("statement", ["update audit_entry set actor = 'x'", "delete from audit_entry", "truncate audit_entry",
                                       "delete from audit_head"])
def test_the_database_refuses_changes(store: Store, statement: str) -> None:
    write(store, 1)
    with pytest.raises(sa.exc.DBAPIError, match="is refused"), store.engine.begin() as connection:
        connection.execute(sa.text(statement))


@pytest.mark.parametrize("deed", [
    ["update audit_entry set actor = 'mallory' where id = 8"],
    ["update audit_entry set body = convert_to(replace(convert_from(body, 'UTF8'), 'thing', 'think'), 'UTF8') where id = 8"],
    ["delete from audit_entry where id = 8"],
    ["update audit_entry set id = -8 where id = 8", "update audit_entry set id = 8 where id = 9",
     "update audit_entry set id = 9 where id = -8"],
    ["delete from audit_entry where id = 13"],
    ["delete from audit_entry where id >= 8"],
    ["delete from audit_entry where id = 13",
     "update audit_head set (id, hash) = (select id, hash from audit_entry order by id desc limit 1)"],
    ["delete from audit_entry", "update audit_head set id = 0, hash = decode(repeat('00', 32), 'hex')"],
], ids=["column", "body", "gap", "reordered", "tail", "half", "tail with head", "everything with head"])
def test_whatever_is_done_to_it_is_found(store: Store, deed: list[str]) -> None:
    """Three default cards and ten entries; then somebody changes history."""
    for number in range(10):
        write(store, number)
    assert walk(store).ok
    if "id = -8" in deed[0]:
        as_intruder(store, "alter table audit_entry drop constraint audit_entry_id_check")
    as_intruder(store, *deed)
    found = walk(store)
    assert not found.ok
    assert found.first_bad in (1, 8, 13)


def test_failing_to_audit_fails_the_action(store: Store) -> None:
    def work(tx) -> None:  # type: ignore[no-untyped-def]
        tx.payers.ensure(["alice"], "mu")
        tx.audit.record("payer.made", "payer:alice", broken=float("nan"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.run(work)
    assert store.read(lambda tx: tx.payers.all()) == []


def test_a_refused_action_leaves_no_trace(store: Store) -> None:
    def work(tx) -> None:  # type: ignore[no-untyped-def]
        tx.audit.record("payer.made", "payer:alice")
        raise NotAllowed
    before = walk(store).checked
    with pytest.raises(NotAllowed):
        store.run(work)
    assert walk(store).checked == before


def test_an_entry_says_who_did_what(store: Store) -> None:
    write(store, 7)
    [entry] = store.read(lambda tx: tx.audit.newest(1))
    assert json.loads(entry.body) == {"at": entry.at.isoformat(timespec="microseconds"), "actor": "writer7", "action": "test.written",
                                      "subject": "thing:7", "facts": {"number": 7}}


def test_an_entry_written_during_the_check_is_no_violation(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its anchor speaks of an entry that the check's snapshot may not hold yet."""
    keep_runs(store, run())
    read = store.anchors.read

    def read_late() -> Iterator[Anchor]:
        write(store, 1)
        yield from read()
    monkeypatch.setattr(store.anchors, "read", read_late)
    assert [finding for finding in findings(store) if finding.violations] == []


def test_a_full_disk_after_the_commit_is_told_not_raised(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.anchors.path = store.anchors.path / "not" / "a" / "folder"
    store.anchors.path.parents[2].parent.mkdir(parents=True, exist_ok=True)
    store.anchors.path.parents[2].write_text("")
    write(store, 1)
    assert "could not be written" in caplog.text
