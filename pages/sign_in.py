"""Sign in: shown at every address until somebody has."""

import streamlit as st

from dashboard import access
from dashboard.account_widgets import SIGN_IN_FIELDS, AccountWidgets
from dashboard.browser_steps import go, here
from dashboard.connection import store
from dashboard.navigation import STATIC
from dashboard.signing_in import sign_in
from engine.errors import DomainError


def check(name: str, password: str) -> None:
    """What the form does when it is sent."""
    door = access.door_hash()
    if door is None:
        st.session_state["sign_in_refusal"] = "Your browser keeps no cookie of this site: open it by https, or allow cookies."
        return
    try:
        sign_in(store(), name, password, door, st.context.headers.get("X-Corehours-Address", "?"), here())
    except DomainError as refusal:
        st.session_state["sign_in_refusal"] = refusal.sentence
    else:
        go("/auth/enter")


st.session_state.pop("authentication_status", None)       # the widget's own mark; a session that ended may have left one
_, middle, _ = st.columns([1, 1.1, 1])
with middle:
    st.space(72)
    st.image(str(STATIC / "logo.svg"), width=150)
    st.markdown(":gray[One bill for every way a lab computes.]")
    AccountWidgets(sign_in=check).login(fields=SIGN_IN_FIELDS, key="sign_in")
    if refusal := st.session_state.pop("sign_in_refusal", ""):
        st.error(refusal, icon=":material/error:")
