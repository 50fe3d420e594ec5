"""The foot of a dialog that asks before something happens: a typed reason, the way out first, the verb repeated.

Inside `st.dialog` only. Changes nothing itself: what is returned says that the person wants it.
"""

from __future__ import annotations

import streamlit as st

from dashboard import dialogs

REASON_LETTERS = 10


def reason_form(name: str, verb: str, keep: str, label: str = "Reason", placeholder: str = "") -> str | None:
    """A typed reason and two buttons. Returns the reason once `verb` was pressed; `keep` closes the dialog."""
    with st.form(f"reason_{name}", border=False, enter_to_submit=False):
        reason = st.text_input(label, max_chars=300, placeholder=placeholder or None, key=f"reason_{name}_text")
        pressed = _buttons(verb, keep)
    if not pressed:
        return None
    if len(reason.strip()) < REASON_LETTERS:
        st.error(f"Write a reason of at least {REASON_LETTERS} characters. Nothing was changed.", icon=":material/error:")
        return None
    return reason.strip()


def yes_form(name: str, verb: str, keep: str) -> bool:
    """Two buttons. True once `verb` was pressed; `keep` closes the dialog."""
    with st.form(f"yes_{name}", border=False):
        return _buttons(verb, keep)


def _buttons(verb: str, keep: str) -> bool:
    with st.container(horizontal=True, horizontal_alignment="right"):
        kept = st.form_submit_button(keep)
        pressed = st.form_submit_button(verb, type="primary")
    if kept:
        dialogs.close()
        st.rerun()
    return pressed
