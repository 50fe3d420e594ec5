"""The dashboard as one ASGI application: Streamlit behind our gate and shield. `uvicorn dashboard.asgi:app` works from
the repository's root; `python -m dashboard` does it for you.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from streamlit import config

from dashboard import gate, kept_files
from dashboard.connection import store
from dashboard.request_log import RequestLog
from dashboard.shield import Shield

HERE = Path(__file__).resolve().parent


async def healthz(_request: Request) -> JSONResponse:
    """The process answers; whether its database does is /readyz of the sidecar."""
    return JSONResponse({"status": "ok"})


def _identity_is_ours() -> None:
    """Refuse to serve where Streamlit was not told to take identity from the gate: everybody would be nobody."""
    if not config.get_option("server.trustedUserHeaders") or config.get_option("server.enableAgentApi"):
        raise RuntimeError("Start the dashboard in the repository's root: .streamlit/config.toml was not read.")


kept_files.keep()
app = st.App(HERE / "app.py", routes=[Route("/healthz", healthz), *gate.routes(store)],
             middleware=[Middleware(RequestLog), Middleware(Shield), Middleware(gate.Gate, store=store)])
_identity_is_ours()
