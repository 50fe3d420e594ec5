"""How a page changes something: one service call, one transaction, one idempotency key made when the form was drawn.

Nothing is drawn until the call returned: a rerun ends a script at its next `st.*` call, and the work must be over by then.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import streamlit as st

from dashboard import access
from dashboard.connection import store
from data.postgres.store import PostgresTransaction
from engine.errors import DomainError, NotAllowed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What became of an action: its `value`, or the sentence it was refused with."""

    value: T | None
    refusal: str = ""

    @property
    def ok(self) -> bool:
        """True when the change was made."""
        return not self.refusal


def form_key(name: str) -> str:
    """The idempotency key of the form `name`: the same over reruns and double clicks until its action succeeded."""
    slot = f"form_key:{name}"
    if slot not in st.session_state:
        st.session_state[slot] = secrets.token_hex(16)
    return str(st.session_state[slot])


def act(call: Callable[[PostgresTransaction], T], name: str, done: str = "") -> Done[T]:
    """Run `call(tx)` as the signed-in person in one transaction. A refusal is shown in place and ends with "Nothing was
    changed."; success gives the form `name` a new key and, with `done`, a toast (it survives a rerun or page switch)."""
    person = access.me()
    slot = f"form_key:{name}"

    def work(tx: PostgresTransaction) -> T:
        if tx.users.by_name(person.name) != person:      # what they may do was decided by what they were a moment ago
            raise NotAllowed("Your account has just changed: reload the page.")
        return call(tx)

    try:
        value = store().run(work, actor=person.name, place="dashboard.action")
    except DomainError as refusal:
        sentence = f"{refusal.sentence} Nothing was changed."
        st.error(_escaped(sentence), icon=":material/error:")
        return Done(None, sentence)
    st.session_state.pop(slot, None)
    if done:
        st.session_state["toast"] = done
    return Done(value)


def show_toast() -> None:
    """Show what the last action left to say; the frame calls this at the end of every full run."""
    if words := st.session_state.pop("toast", ""):
        st.toast(_escaped(words), icon=":material/check_circle:")


def _escaped(words: str) -> str:
    from dashboard.words import plain

    return plain(words)
