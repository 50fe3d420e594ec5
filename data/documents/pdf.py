"""A sheet becomes a PDF. The same sheet makes the same bytes, on any machine: the fonts lie beside this file, the system's
are not looked at, and the only time in the file is the document's own day.

The sheet reaches the template as JSON and is set as strings: nothing in it is read as markup. Nothing is fetched.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, time
from functools import lru_cache
from pathlib import Path
from typing import Any

import typst

from data.documents.qr import svg
from engine.document_sheets import sheet
from engine.documents import Facts, Language
from engine.receipts import ReceiptStatus

HERE = Path(__file__).resolve().parent
TEMPLATE = HERE / "templates" / "document.typ"


def pdf(facts: Facts, language: Language, standing: ReceiptStatus | None = None) -> bytes:
    """The document in that language; `standing` is where a receipt stands now."""
    return set_in_type(sheet(facts, language, standing), datetime.combine(facts.on, time(), UTC))


def set_in_type(page: dict[str, Any], at: datetime) -> bytes:
    """The sheet as PDF, made `at`."""
    ways = [{**way, "svg": svg(way["payload"], way["scheme"])} for way in page["ways"]]
    made = typst.compile(TEMPLATE, root=HERE, font_paths=_fonts(), sys_inputs={"sheet": json.dumps({**page, "ways": ways})},
                         timestamp=int(at.timestamp()))
    assert isinstance(made, bytes)
    return made


@lru_cache(maxsize=1)
def _fonts() -> typst.Fonts:
    """Ours, and what typst itself carries for the letters they lack."""
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=[HERE / "fonts"])
