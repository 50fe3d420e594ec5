"""Every promise the books make, checked now."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass

from commands.installation import installation
from data.analytics import lake
from data.failpoints import NAMES
from data.postgres.invariants import INVARIANTS, violations
from data.postgres.store import PostgresTransaction, Store
from engine.audit import verify
from engine.services.commitments import wrong_lines
from engine.services.explain import MOST_CHECKED, disagreeing

HELP = "check every invariant of the books; exit 1 when one is broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """One invariant with how often it is broken, and where."""

    name: str
    violations: int
    where: list[str]


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `check`."""
    parser.add_argument("--failpoints", action="store_true", help="only list the places where a test may kill the process")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Check, print one line each, exit 1 on a violation."""
    if args.failpoints:
        print(json.dumps(NAMES) if args.json else "\n".join(NAMES))
        return 0
    with installation() as store:
        found = findings(store)
    broken = sum(finding.violations > 0 for finding in found)
    if args.json:
        print(json.dumps({"ok": broken == 0, "checked": len(found), "invariants": [
            {"name": finding.name, "violations": finding.violations, "where": finding.where} for finding in found]}))
    else:
        print("\n".join(_line(finding) for finding in found))
        print(f"\n{len(found)} invariants checked, {'all hold' if not broken else f'{broken} BROKEN'}.")
    return 1 if broken else 0


def findings(store: Store) -> list[Finding]:
    """Every invariant, all of Postgres on one snapshot."""
    return [*store.read(_books), _charges(store), _minimums(store), _audit(store), _analytics(store)]


def _books(tx: PostgresTransaction) -> list[Finding]:
    return [Finding(invariant.name, *violations(tx, invariant)) for invariant in INVARIANTS]


def _charges(store: Store) -> Finding:
    where = store.read(disagreeing)
    return Finding(f"stored charges are what the rating function makes of the records (the newest {MOST_CHECKED:,})", len(where),
                   where[:20])


def _minimums(store: Store) -> Finding:
    where = store.read(wrong_lines)
    return Finding("a month's minimum is what its cards and their days make", len(where), where[:20])


def _audit(store: Store) -> Finding:
    anchors = list(store.anchors.read())            # before the chain: those noted meanwhile speak of entries it does not see
    found = store.read(lambda tx: verify(tx.audit.chain(), tx.audit.head(), anchors, store.audit_keys()))
    where = [] if found.ok else [f"audit entry {found.first_bad}: {found.reason}"]
    return Finding("the audit chain, its head and its anchors agree", len(where), where)


def _analytics(store: Store) -> Finding:
    where = lake.verify(store)
    return Finding("the analytics copy equals Postgres to the micro-unit", len(where), where)


def _line(finding: Finding) -> str:
    mark = "ok    " if not finding.violations else "BROKEN"
    return "\n".join([f"{mark}  {finding.name}", *(f"        {place}" for place in finding.where)])
