"""Who works at the demo centre: twelve people in four groups, and five of them that can sign in.

The passwords are well known and printed: they exist in development only, and `load` refuses anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.users import Role


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who computes: whom the jobs are billed to, the group (Slurm account), the tier, and how much of the work."""

    name: str
    group: str
    tier: str
    weight: int


@dataclass(frozen=True, slots=True)
class DemoUser:
    """Somebody who can sign in, and what there is to see."""

    name: str
    password: str
    role: Role
    payer: str
    shows: str
    projects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DemoUsers:
    """The people to print when the demo centre is up."""

    people: tuple[DemoUser, ...]

    def __iter__(self) -> Iterator[DemoUser]:
        return iter(self.people)

    def rows(self) -> list[tuple[str, str, str]]:
        """(name, password, what there is to see), one a person."""
        return [(person.name, person.password, person.shows) for person in self.people]


MEMBERS = (
    Member("researcher", "ai-lab", "mu", 9),
    Member("somchai.p", "ai-lab", "mu", 12),
    Member("siriporn.t", "ai-lab", "mu", 9),
    Member("pi", "genomics", "gov", 5),
    Member("m.jones", "genomics", "gov", 10),
    Member("ananya.k", "genomics", "gov", 8),
    Member("w.nattapong", "chem-md", "mu", 11),
    Member("k.wongsa", "chem-md", "mu", 7),
    Member("p.chaiyasit", "chem-md", "gov", 6),
    Member("r.becker", "aero", "private", 6),
    Member("n.okafor", "aero", "private", 5),
    Member("l.tanaka", "aero", "private", 5),
)

DEMO_USERS = DemoUsers((
    DemoUser("researcher", "researcher-demo-1", Role.RESEARCHER, "researcher", "own jobs and receipts, in group ai-lab"),
    DemoUser("pi", "pi-demo-password-1", Role.RESEARCHER, "pi", "own jobs, and the projects ai-lab and genomics",
             ("ai-lab", "genomics")),
    DemoUser("admin", "admin-demo-1", Role.ADMIN, "admin", "everything: rates, accounts, ingestion, audit"),
    DemoUser("finance", "finance-demo-1", Role.FINANCE, "finance", "everybody's usage, receipts and sums"),
    DemoUser("auditor", "auditor-demo-1", Role.AUDITOR, "auditor", "everything to read, nothing to change"),
))
