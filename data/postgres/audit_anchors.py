"""Anchors: where the audit chain stood, noted in a file outside the database and signed, so that a chain that was
cut short, head row included, is found. One line a commit; every machine keeps its own file.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path

from data.settings import Settings
from engine.audit import Anchor


class Anchors:
    """The file of anchors in `folder`."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.path = folder / "anchors"
        self.settings = settings

    def note(self, anchor: Anchor) -> None:
        """Append `anchor`; one write, so that processes may do it at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.path.open("a", encoding="ascii") as file:
            file.write(self._line(anchor))

    def read(self) -> Iterator[Anchor]:
        """Every anchor whose signature holds; a torn or foreign line is passed over."""
        if not self.path.exists():
            return
        with self.path.open(encoding="ascii", errors="replace") as file:
            for line in file:
                words = line.split()
                if len(words) == 3 and words[0].isdigit() and len(words[1]) == 64:
                    anchor = Anchor(int(words[0]), bytes.fromhex(words[1]))
                    if hmac.compare_digest(self._line(anchor), line):
                        yield anchor

    def _line(self, anchor: Anchor) -> str:
        words = f"{anchor.id} {anchor.hash.hex()}"
        key = self.settings.secret("audit_key").encode()
        return f"{words} {hmac.new(key, b'anchor ' + words.encode(), hashlib.sha256).hexdigest()}\n"
