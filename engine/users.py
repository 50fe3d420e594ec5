"""Who works here and what each may do: roles, actions, one table that joins them, and the rules of a password.

Knows no table and no page. Services and pages ask the same `may`, so a button that is shown is a button that works.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from engine.errors import DomainError

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}")
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*", re.ASCII)
RESERVED_NAMES = frozenset({"system", "reader", "operator", "worker", "nobody"})
PASSWORD_LENGTH = 10
PASSWORD_BYTES = 72                       # bcrypt reads no further


class Role(StrEnum):
    """What somebody is here for."""

    RESEARCHER = "researcher"
    """Computes, sees what they used, pays their receipts."""
    ADMIN = "admin"
    """Runs the centre: rates, tiers, sources, people, and everything finance may do."""
    FINANCE = "finance"
    """Bills and settles: everybody's usage and receipts, no rates and no people."""
    AUDITOR = "auditor"
    """Reads everything and changes nothing."""


class Action(StrEnum):
    """Something a role may or may not do."""

    SEE_OWN = "see_own"
    """One's own usage and receipts, and the usage of projects one leads."""
    BILL_OWN = "bill_own"
    """Create a receipt from one's own unbilled jobs."""
    PAY = "pay"
    """Pay a receipt one may see."""
    SEE_ALL = "see_all"
    """Everybody's usage and receipts."""
    BILL_ALL = "bill_all"
    """Create receipts for anybody, or for everybody at once."""
    ADJUST = "adjust"
    """Change a wallet by hand, above the limit with a second person."""
    CONFIRM_ADJUSTMENT = "confirm_adjustment"
    """Be that second person."""
    MANAGE_WALLETS = "manage_wallets"
    """Give a project a wallet, and say who shares any project's."""
    SETTLE = "settle"
    """Mark a receipt paid by other means, or take that back."""
    VOID = "void"
    """Void a pending receipt."""
    REFUND = "refund"
    """Give money back, and have what providers said or were asked applied again."""
    SEE_FINANCE = "see_finance"
    """The aggregates by month, account, partition and tier."""
    SEE_RATES = "see_rates"
    """The rate book with its history."""
    SET_RATES = "set_rates"
    """Publish a dated rate card."""
    SEE_ACCOUNTS = "see_accounts"
    """Payers and their tiers."""
    SET_TIER = "set_tier"
    """Move a payer to another tier."""
    SEE_INGESTION = "see_ingestion"
    """Ingestion runs and what was rejected."""
    INGEST = "ingest"
    """Load an accounting file by hand."""
    SEE_BILLING = "see_billing"
    """The billing queue: who has unbilled jobs."""
    SEE_AUDIT = "see_audit"
    """The audit chain and its verification."""
    RENT = "rent"
    """Take a GPU node, paid by a wallet one may use, and give it back."""
    SEE_NODES = "see_nodes"
    """Who holds which node, and how the billing loop goes."""
    MANAGE_NODES = "manage_nodes"
    """Add, test, drain and retire nodes, and end anybody's allocation."""
    MANAGE_USERS = "manage_users"
    """Add, disable and change people."""


_RESEARCH = frozenset({Action.SEE_OWN, Action.BILL_OWN, Action.PAY, Action.RENT})
_READ = frozenset({Action.SEE_ALL, Action.SEE_FINANCE, Action.SEE_RATES, Action.SEE_ACCOUNTS, Action.SEE_INGESTION,
                   Action.SEE_BILLING, Action.SEE_NODES})
ALLOWED: dict[Role, frozenset[Action]] = {
    Role.RESEARCHER: _RESEARCH,
    Role.ADMIN: frozenset(Action),
    Role.FINANCE: _RESEARCH | _READ | {Action.BILL_ALL, Action.SETTLE, Action.VOID, Action.REFUND, Action.SEE_AUDIT, Action.ADJUST,
                                         Action.MANAGE_WALLETS},
    Role.AUDITOR: _READ | {Action.SEE_OWN, Action.SEE_AUDIT},
}


def may(role: Role, action: Action) -> bool:
    """True when `role` may do `action`."""
    return action in ALLOWED[role]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can sign in. `payer` is whose usage is their own; `projects` are the Slurm accounts they lead."""

    id: int
    name: str
    role: Role
    payer: str
    projects: tuple[str, ...] = ()
    disabled: bool = False
    email: str = ""                       # where documents are sent; empty: nowhere
    language: str = "en"                  # of documents and mail

    def may(self, action: Action) -> bool:
        """True when this person may do `action`; a disabled one may do nothing."""
        return not self.disabled and may(self.role, action)


class BadName(DomainError):
    """This name cannot be used."""

    code = "bad_name"


class BadAddress(DomainError):
    """This is no e-mail address."""

    code = "bad_address"


class BadPassword(DomainError):
    """This password cannot be used."""

    code = "bad_password"


class UserExists(DomainError):
    """Somebody has this name already."""

    code, status = "user_exists", 409


def check_name(name: str) -> None:
    """Refuse a name that is no plain word of at most 128 letters, or that the program uses for itself."""
    if not NAME.fullmatch(name):
        raise BadName("Use letters, digits and _ . @ + - only, beginning with a letter, a digit or _.")
    if name.lower() in RESERVED_NAMES:
        raise BadName(f"{name!r} is what the program calls itself.")


def check_address(address: str) -> str:
    """The address without blanks around it; empty means no mail. Only plain ASCII ones: each mail server takes those."""
    plain = address.strip()
    if plain and (not ADDRESS.fullmatch(plain) or len(plain) > 254):
        raise BadAddress("One is somchai@example.org.")
    return plain


def check_password(name: str, password: str) -> None:
    """Refuse a password that is short, too long for bcrypt, or the name itself."""
    if len(password) < PASSWORD_LENGTH:
        raise BadPassword(f"It needs at least {PASSWORD_LENGTH} characters.")
    if len(password.encode()) > PASSWORD_BYTES or "\0" in password:
        raise BadPassword(f"It may have at most {PASSWORD_BYTES} bytes.")
    if password.casefold() == name.casefold():
        raise BadPassword("It is the name.")


def generated_password() -> str:
    """A password of 96 random bits: four groups of letters and digits without look-alikes."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(5)) for _ in range(4))


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One live session as its owner may see it; the token itself is known to the browser only."""

    token_hash: bytes
    created_at: datetime
    seen_at: datetime
    address: str
    agent: str


@dataclass(frozen=True, slots=True)
class Throttle:
    """How many attempts in how long lock the door, and for how long."""

    failures: int
    window: timedelta
    lock: timedelta


@dataclass(frozen=True, slots=True)
class Door:
    """The throttle's state for one name and address: recent attempts without success, and the end of a lock."""

    tried_at: tuple[datetime, ...] = ()
    locked_until: datetime | None = None

    def locked(self, now: datetime) -> bool:
        """True while nobody is let in, whatever the password."""
        return self.locked_until is not None and now < self.locked_until

    def tried(self, now: datetime, rule: Throttle) -> Door:
        """The state after one more attempt, counted before its password is looked at: attempts side by side cannot
        slip past the count. A right password clears it."""
        before = () if self.locked_until else self.tried_at
        recent = (*(at for at in before if now - at < rule.window), now)
        return Door(recent, now + rule.lock if len(recent) >= rule.failures else None)
