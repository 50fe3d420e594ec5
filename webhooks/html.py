"""The sidecar's few pages for people: plain HTML, one stylesheet of our own, nothing from elsewhere, no script."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

_HERE = Path(__file__).resolve().parent / "pages"
_FRAME = Template((_HERE / "frame.html").read_text(encoding="utf-8"))
_STYLE = (_HERE / "style.css").read_text(encoding="utf-8")


def no_store(form_targets: str = "") -> dict[str, str]:
    """Headers of a page about somebody's payment; a form may lead to this site and to `form_targets` only."""
    policy = f"default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' {form_targets}"
    return {"cache-control": "no-store", "referrer-policy": "no-referrer", "x-content-type-options": "nosniff",
            "content-security-policy": policy.strip()}


def page(title: str, main: str, status: int = 200, form_targets: str = "") -> HTMLResponse:
    """A whole page; `main` is HTML that is safe already, `title` is text."""
    return HTMLResponse(_FRAME.substitute(title=escape(title), main=main), status, no_store(form_targets))


def refusal(title: str, sentence: str, status: int) -> HTMLResponse:
    """A page that says no in one sentence."""
    return page(title, f'<section class="card"><h1>{escape(title)}</h1><p>{escape(sentence)}</p></section>', status)


async def style(_request: Request) -> Response:
    """GET /style.css."""
    return Response(_STYLE, media_type="text/css", headers={"cache-control": "max-age=3600", "x-content-type-options": "nosniff"})
