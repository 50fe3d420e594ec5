"""Which dialog is open on a page that also changes by itself: kept in the session, so that a run which nobody's click asked for
draws it again. A page draws what `opened` says; closing it in any way forgets it, and so does leaving the page.
"""

from __future__ import annotations

import streamlit as st

SLOT = "dialog"
SECRET = "dialog_secret"                # noqa: S105  a slot's name; what lies in it lives no longer than the dialog that shows it


def open_dialog(kind: str, subject: str = "", page: str = "") -> None:
    """Open the dialog `kind` about `subject` on the page with that address with the next run."""
    st.session_state[SLOT] = (kind, subject, page)


def opened() -> tuple[str, str]:
    """Kind and subject of the open dialog; empty when none is."""
    kind, subject, _ = st.session_state.get(SLOT, ("", "", ""))
    return kind, subject


def close() -> None:
    """Forget the dialog and its secret."""
    st.session_state.pop(SLOT, None)
    st.session_state.pop(SECRET, None)


def forget_secret() -> None:
    """The dialog goes on without it."""
    st.session_state.pop(SECRET, None)


def leave(path: str) -> None:
    """Close what belongs to another page than the one at `path`."""
    _, _, page = st.session_state.get(SLOT, ("", "", path))
    if page != path:
        close()
