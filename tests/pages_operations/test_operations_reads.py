"""The audit viewer's lists: by actor, action, part of a subject and period, newest first."""

from __future__ import annotations

from datetime import timedelta

from data.postgres.shelves.operations_reads import AuditFilter
from data.postgres.store import Store


def note(store: Store, actor: str, action: str, subject: str, **facts: object) -> None:
    store.run(lambda tx: tx.audit.record(action, subject, **facts), actor=actor)


def test_entries_are_found_by_each_filter(store: Store) -> None:
    note(store, "alice", "test.made", "thing:one", n=1)
    note(store, "bob", "test.made", "thing:two", n=2)
    note(store, "bob", "test.gone", "thing:One", n=3)

    def found(**only: str) -> list[int]:
        lines = store.read(lambda tx: tx.operations_reads.audit_lines(AuditFilter(**only), 10))
        return [line.facts["n"] for line in lines if line.subject.startswith("thing:")]
    assert found() == [3, 2, 1]
    assert found(actor="bob") == [3, 2]
    assert found(action="test.made") == [2, 1]
    assert found(subject="ONE") == [3, 1]
    assert found(subject="%") == []


def test_the_period_is_half_open_and_pages_follow_each_other(store: Store) -> None:
    for n in range(5):
        note(store, "alice", "test.made", "thing", n=n)
    lines = store.read(lambda tx: tx.operations_reads.audit_lines(AuditFilter(action="test.made"), 10))
    third = lines[2].at
    only = AuditFilter(action="test.made", start=third, end=third + timedelta(microseconds=1))
    assert [line.facts["n"] for line in store.read(lambda tx: tx.operations_reads.audit_lines(only, 10))] == [2]
    only = AuditFilter(action="test.made")
    assert store.read(lambda tx: tx.operations_reads.audit_count(only)) == 5
    pages = [store.read(lambda tx, n=n: tx.operations_reads.audit_lines(only, 2, n)) for n in (0, 2, 4)]
    assert [[line.facts["n"] for line in page] for page in pages] == [[4, 3], [2, 1], [0]]


def test_words_for_the_filters_are_those_that_occur(store: Store) -> None:
    note(store, "zoe", "test.made", "thing")
    actors, actions = store.read(lambda tx: tx.operations_reads.audit_words())
    assert "zoe" in actors and "test.made" in actions
