"""The arrows of the house: every import between rooms points the right way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "engine": {"engine"},
    "data": {"data", "engine"},
    "ingest": {"ingest", "data", "engine"},
    "webhooks": {"webhooks", "data", "engine"},
    "dashboard": {"dashboard", "data", "engine"},
    "pages": {"pages", "dashboard", "engine"},
}
# Named exceptions, each with its reason.
ALLOWED = {
    ("data/demo", "ingest"): "the demo centre's captured jobs come in the way real ones do",
    ("pages/ingestion.py", "ingest"): "an admin's upload goes through the same way in",
}
FILES = [file for room in MAY_IMPORT for file in sorted((ROOT / room).rglob("*.py"))]
ENGINE_KNOWS_NOT = {"sqlalchemy", "psycopg", "requests", "streamlit", "duckdb", "httpx", "starlette", "time"}


def imported(file: Path) -> set[str]:
    """The first word of every module that `file` imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(ROOT)) for file in FILES])
def test_arrows_point_one_way(file: Path) -> None:
    path = file.relative_to(ROOT)
    ours = imported(file) & {*MAY_IMPORT, "commands", "bench", "tests"}
    excused = {room for (place, room) in ALLOWED if str(path).startswith(place)}
    assert ours - excused <= MAY_IMPORT[path.parts[0]], f"{path} imports {ours}"


@pytest.mark.parametrize("file", sorted((ROOT / "engine").rglob("*.py")), ids=lambda file: file.name)
def test_the_engine_is_pure(file: Path) -> None:
    assert not imported(file) & ENGINE_KNOWS_NOT


def test_sql_stands_in_data_only() -> None:
    for file in FILES:
        if file.relative_to(ROOT).parts[0] != "data":
            assert "sqlalchemy" not in imported(file), file
