"""The one thing a script tells the browser to do besides drawing: go to an address of this site.

Streamlit's own sign-in uses the same message; it has no public function for it.
"""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

import streamlit as st
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.scriptrunner import get_script_run_ctx

HERE = ""                                # where the browser is: load it again


def going(path: str) -> ForwardMsg:
    """The message that lets the browser load `path` of this site as a new page."""
    message = ForwardMsg()
    message.auth_redirect.url = path
    return message


def go(path: str) -> None:
    """Load `path` of this site as a new page."""
    context = get_script_run_ctx()
    assert context is not None
    context.enqueue(going(path))


def here() -> str:
    """The path and query the person asked for."""
    path = urlsplit(st.context.url or "/").path or "/"
    query = urlencode([(name, value) for name in st.query_params for value in st.query_params.get_all(name)])
    return f"{path}?{query}" if query else path
