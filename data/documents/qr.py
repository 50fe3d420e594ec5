"""QR codes as pictures: black on white whatever surrounds them, with the quiet zone that readers need."""

from __future__ import annotations

import io

import segno

QUIET = 4                               # modules of white around it, as ISO/IEC 18004 asks


def svg(payload: str, scheme: str = "") -> str:
    """The payload as an SVG picture. Error correction is M; an EPC transfer is written in UTF-8, as its header says."""
    code = segno.make_qr(payload, error="m", boost_error=False, encoding="utf-8" if scheme == "epc" else None)
    out = io.BytesIO()
    code.save(out, kind="svg", border=QUIET, dark="#000000", light="#ffffff", xmldecl=False, svgns=True, omitsize=True, nl=False)
    return out.getvalue().decode("ascii")
