"""May this person do this? One refusal for all services, worded for the person who hears it."""

from __future__ import annotations

from engine.errors import NotAllowed
from engine.users import Action, Person, Role

# Whoever runs ./corehours on the machine itself: the operating system let them in, the audit names them so.
OPERATOR = Person(0, "operator", Role.ADMIN, "")


def allow(person: Person, action: Action) -> None:
    """Refuse unless `person` may do `action`."""
    if not person.may(action):
        raise NotAllowed(f"{person.name} ({person.role}) may not {action.replace('_', ' ')}.")


def may_see_run(person: Person, payer: str, account: str) -> bool:
    """True for runs one pays, those of projects one leads, and everybody's where the role says so."""
    return person.may(Action.SEE_ALL) or (person.may(Action.SEE_OWN) and (payer == person.payer or account in person.projects))


def allow_payer(person: Person, payer: str, own: Action, others: Action) -> None:
    """Refuse unless `person` may do it: `own` for what they pay themselves, `others` for anybody else's."""
    allow(person, own if person.payer == payer and not person.may(others) else others)
