"""YAML (and JSON, which is YAML) as places that know their line and key, so that a refusal can say where.

Every value is text: nothing is guessed to be a number or a date. Refuses to know what the text is about.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NoReturn

import yaml

from engine.errors import RateError

MOST_LETTERS = 1_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """One value of the text and where it stands: `key` is the way to it, such as `prices.cpu`."""

    node: yaml.Node
    key: str
    at: int | None = None                   # the line of the key it stands under

    @property
    def line(self) -> int:
        """Its line in the text; the first is 1."""
        return int(self.node.start_mark.line) + 1 if self.at is None else self.at

    def refuse(self, what: str) -> NoReturn:
        """Say what is wrong here."""
        raise RateError(refusal(self.line, self.key, what))

    def text(self) -> str:
        """A plain value's text."""
        if not isinstance(self.node, yaml.ScalarNode):
            self.refuse("a single value is needed here, not a list or a mapping.")
        return _whole(str(self.node.value).strip())

    @property
    def is_mapping(self) -> bool:
        """True where keys stand under it."""
        return isinstance(self.node, yaml.MappingNode)

    def items(self) -> list[Place]:
        """The entries of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            self.refuse("a list is needed here.")
        return [Place(entry, self.key) for entry in self.node.value]

    def entries(self) -> dict[str, Place]:
        """The entries of a mapping by key; a key that stands twice is refused."""
        if not isinstance(self.node, yaml.MappingNode):
            self.refuse("a mapping of keys to values is needed here.")
        found: dict[str, Place] = {}
        for name, value in self.node.value:
            key = Place(name, self.key).text()
            place = Place(value, f"{self.key}.{key}" if self.key else key, Place(name, "").line)
            if key in found:
                place.refuse(f"{key!r} stands here for the second time.")
            found[key] = place
        return found

    def mapping(self, known: Collection[str], needed: Collection[str] = ()) -> dict[str, Place]:
        """The same, with no key that is not `known` and all that are `needed`."""
        found = self.entries()
        for key, place in found.items():
            if key not in known:
                place.refuse(f"unknown key {key!r}; here may stand {', '.join(known)}.")
        for key in needed:
            if key not in found:
                self.refuse(f"{key!r} is missing.")
        return found


def refusal(line: int, key: str, what: str) -> str:
    """`In line 7, prices.cpu: what is wrong.`"""
    return f"In line {line}, {key}: {what}" if key else f"In line {line}: {what}"


def compose(text: str) -> Place | None:
    """The text as a place; None when nothing stands in it. What is no YAML is a RateError with its line."""
    if len(text) > MOST_LETTERS:
        raise RateError(f"It has more than {MOST_LETTERS:,} letters.")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise RateError(refusal(mark.line + 1 if mark else 1, "", f"neither YAML nor JSON: {_plain(error)}.")) from None
    except yaml.YAMLError as error:
        raise RateError(f"It is neither YAML nor JSON: {' '.join(str(error).split())}.") from None
    except RecursionError:
        raise RateError("It is nested too deeply.") from None
    return None if node is None else Place(node, "")


def _whole(text: str) -> str:
    """JSON writes a letter beyond 16 bits as two escapes, which YAML takes for two letters: they are one again."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16") if any("\ud800" <= letter <= "\udfff" for letter in text) else text
    except UnicodeDecodeError:
        return text                         # half a letter: whoever reads it refuses it


def _plain(error: yaml.MarkedYAMLError) -> str:
    return " ".join(" ".join(part for part in (error.context, error.problem) if part).split())


def lines_of(places: Mapping[str, Place]) -> dict[str, int]:
    """The line of each key."""
    return {key: place.line for key, place in places.items()}
