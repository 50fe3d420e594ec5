"""Who is looking: the signed-in person, re-read from the database, and the two questions a page asks about them.

Identity comes from the header that the middleware writes (`st.user["session"]`: the hash of the session's token); a
Streamlit session id, a cookie or a header from outside alone says nothing.
"""

from __future__ import annotations

import time
from typing import NoReturn

import streamlit as st

from dashboard.connection import store
from engine.users import Action, Person

KEEP_SECONDS = 2.0                     # how long a person is believed without asking the database again
_known: dict[str, tuple[float, Person | None]] = {}


def session_hash() -> bytes | None:
    """The hash of this browser's session token, as the middleware found it; None when there is none."""
    value = st.user.get("session")
    return bytes.fromhex(value) if isinstance(value, str) and value else None


def door_hash() -> bytes | None:
    """The hash of the value that names this browser before anybody signed in."""
    value = st.user.get("door")
    return bytes.fromhex(value) if isinstance(value, str) and value else None


def visitor() -> Person | None:
    """The signed-in person, or None; believed for two seconds, then read again."""
    token = session_hash()
    if token is None:
        return None
    key, now = token.hex(), time.monotonic()
    if key not in _known or now - _known[key][0] > KEEP_SECONDS:
        if len(_known) > 4096:
            _known.clear()
        database = store()
        idle = database.settings.session_idle_minutes
        _known[key] = (now, database.read(lambda tx: tx.sessions.holder(token, idle)))
    return _known[key][1]


def note_presence() -> None:
    """Somebody is at work: put off the idle limit. Called once a full run, not by live fragments."""
    token = session_hash()
    if token:
        store().run(lambda tx: tx.sessions.touch(token))


def forget() -> None:
    """Read this session's person anew at the next question."""
    token = session_hash()
    if token:
        _known.pop(token.hex(), None)


def me() -> Person:
    """The signed-in person; a page without one stops."""
    person = visitor()
    if person is None:
        _stop("You are signed out", "Your session has ended. Reload the page to sign in again.")
    return person


def require(action: Action) -> Person:
    """The signed-in person, when their role allows `action`; the page stops with a calm sentence otherwise."""
    person = me()
    if not person.may(action):
        _stop("This page is not for your role", f"You are signed in as {person.role.value}. "
              "Ask an administrator when you need it.")
    return person


def _stop(line: str, cause: str) -> NoReturn:
    from dashboard.tables import nothing_here

    nothing_here("lock", line, cause)
    st.stop()
    raise AssertionError("st.stop does not return")
