"""The bell in the frame of every page: how many notices are new, and the newest as they come, on whatever page is open."""

from __future__ import annotations

import streamlit as st

from dashboard import reads_billing, words
from dashboard.access import me
from engine.documents import Language
from engine.notice_words import headline
from engine.notices import Notice, NoticeKind

LOOK_EVERY = "10s"
HEARD = "heard_notice"                  # the newest one this session told, by number
AT_ONCE = 3
ICONS = {NoticeKind.RUNWAY_DAY: "hourglass_bottom", NoticeKind.RUNWAY_HOUR: "hourglass_bottom", NoticeKind.RUNWAY_MINUTES: "alarm",
         NoticeKind.DEPLETED: "money_off", NoticeKind.READY: "check_circle", NoticeKind.FAILED: "error", NoticeKind.IDLE: "bedtime",
         NoticeKind.SUSPENDED: "cloud_off", NoticeKind.ENDING: "schedule"}


@st.fragment(run_every=LOOK_EVERY)
def bell(page: st.Page) -> None:
    """A link with a count; what is new since this session last looked pops up once."""
    new, newest = reads_billing.unseen(me())
    st.page_link(page, label=f"**{new:,} new**" if new else "Notifications",
                 icon=":material/notifications_active:" if new else ":material/notifications:")
    heard = st.session_state.setdefault(HEARD, newest)
    if newest <= heard:
        return
    st.session_state[HEARD] = newest
    for one in reads_billing.newest_unseen(me(), heard, AT_ONCE):
        st.toast(f"**{words.plain(title(one))}**", icon=f":material/{icon(one)}:", duration="long")


def title(notice: Notice) -> str:
    """Its headline, as the pages are written."""
    return headline(notice.kind, notice.facts, Language.ENGLISH, words.zone())


def icon(notice: Notice) -> str:
    """What stands before it."""
    return ICONS.get(notice.kind, "info")
