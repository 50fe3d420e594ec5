"""My account: who I am here, my password, where I am signed in."""

import polars as pl
import streamlit as st

from dashboard import access, actions, tables, words
from dashboard.account_widgets import PASSWORD_FIELDS, AccountWidgets
from dashboard.connection import store
from dashboard.signing_in import change_password
from engine.documents import Language
from engine.services import users
from engine.users import BadPassword

person = access.me()
token = access.session_hash() or b""
tables.page_head("Profile", words.plain(person.name) + f" · {person.role.value}")


def change(current: str, new: str, repeat: str) -> None:
    """What the form does when it is sent."""
    try:
        change_password(store(), person, current, new, repeat, keep=token)
    except BadPassword as refusal:
        st.session_state["refusal"] = f"{refusal.sentence} Nothing was changed."
    else:
        st.session_state["changed"] = "Password changed. Your other sessions have ended."


def agent_words(agent: str) -> str:
    """The browser's name out of its long self-description."""
    known = ("Edg", "OPR", "Firefox", "Chrome", "Safari")
    return next((name for name in known if name in agent), "other").replace("Edg", "Edge").replace("OPR", "Opera")


def mail_form() -> None:
    """Where documents go, and their language."""
    languages = {"en": "English", "th": "ไทย"}
    with tables.card("Documents by mail"), st.form("mail", border=False):
        email = st.text_input("E-mail address", person.email, max_chars=254, placeholder="none: nothing is sent", key="email")
        language = st.segmented_control("Language", list(languages), default=person.language, required=True,
                                        format_func=languages.__getitem__, key="language")
        sent = st.form_submit_button("Save address")
    if sent and actions.act(lambda tx: users.set_mail(tx, email, Language(language), person), "mail",
                            done="Documents go there from now on." if email.strip() else "Nothing is sent any more.").ok:
        access.forget()
        st.rerun()


left, right = st.columns([1, 1.4])
with left:
    with tables.card("About you"):
        tables.rows_of([("Name", person.name), ("Role", person.role.value), ("Usage and receipts of", person.payer),
                        ("Projects you lead", ", ".join(person.projects) or words.NOTHING)])
    mail_form()
    st.session_state["authentication_status"] = True          # the widget asks; nothing else does
    AccountWidgets(change=change).reset_password(person.name, fields=PASSWORD_FIELDS, key="change_password",
                                                 clear_on_submit=True)
    if refusal := st.session_state.pop("refusal", ""):
        st.error(words.plain(refusal), icon=":material/error:")
    if done := st.session_state.pop("changed", ""):
        st.success(done, icon=":material/check_circle:")

knobs = store().settings
limits = f"ends {knobs.session_idle_minutes} minutes after the last click, at the latest after {knobs.session_hours} h"
with right, tables.card("Where you are signed in", limits, height="content"):
    sessions = store().read(lambda tx: tx.sessions.live(person.id, tx.settings.session_idle_minutes))
    tables.table(
        pl.DataFrame({"since": [words.moment(row.created_at) for row in sessions],
                      "seen": [words.ago(row.seen_at) for row in sessions],
                      "browser": [agent_words(row.agent) for row in sessions],
                      "address": [row.address for row in sessions],
                      "here": ["this one" if row.token_hash == token else "" for row in sessions]}),
        {"since": tables.text_column("Since", 110), "seen": tables.text_column("Last click", 100),
         "browser": tables.text_column("Browser", 90), "address": tables.text_column("Address", 130),
         "here": tables.text_column("", 80)}, key="sessions", alt="Your sessions")
    pressed = st.button("Sign out everywhere else", icon=":material/logout:", disabled=len(sessions) < 2)
    if pressed and actions.act(lambda tx: users.leave_everywhere(tx, person.name, person, keep=token), "leave_everywhere",
                               done="Your other sessions have ended.").ok:
        st.rerun()
