"""Foreign text on paper: names, addresses and reasons that anybody typed, made safe to set and still readable.

Nothing is markup to the typesetter, which is handed strings. What is changed here: control signs, signs that turn the
direction of the line around (a name could make an amount read backwards), and words too long to break.
"""

from __future__ import annotations

import unicodedata

MOST_LETTERS = 300
LONGEST_WORD = 24                       # a longer one may break after every so many letters
BREAK = "\u200b"                        # where a line may end: no width, no hyphen
_JOINERS = "\u200c\u200d"               # zero width (non-)joiner: part of how Indic and Persian words are written


def clean(text: str, most: int = MOST_LETTERS) -> str:
    """`text` on one line: what cannot be printed is a �, direction signs are gone, longer than `most` is cut with an ellipsis."""
    shown = "".join(_sign(letter) for letter in unicodedata.normalize("NFC", text))
    line = " ".join(shown.split())
    cut = line if len(line) <= most else line[:most - 1] + "…"
    return " ".join(_breakable(word) for word in cut.split(" "))


def clean_lines(text: str, most: int = 8) -> list[str]:
    """The lines of an address, each made safe; at most `most` of them, empty ones left out."""
    lines = [clean(line) for line in text.replace("\\n", "\n").splitlines()]
    return [line for line in lines if line][:most]


def _sign(letter: str) -> str:
    category = unicodedata.category(letter)
    if category in ("Zl", "Zp") or letter in "\t\n\r":
        return " "
    if category == "Cf":
        return letter if letter in _JOINERS else ""
    return "\ufffd" if category in ("Cc", "Cs", "Cn", "Co") else letter


def _breakable(word: str) -> str:
    if len(word) <= LONGEST_WORD or any("\u0e00" <= letter <= "\u0e7f" for letter in word):      # Thai breaks by its own rules
        return word
    return BREAK.join(word[at:at + LONGEST_WORD] for at in range(0, len(word), LONGEST_WORD))
