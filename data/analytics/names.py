"""Numbers for texts that many threads meet again and again. Refuses to know what the texts mean."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from threading import Lock

import numpy as np
from numpy.typing import NDArray


class Names:
    """Texts in the order in which they were first met; that is their number. Safe to use from several threads."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, names: Sequence[str]) -> NDArray[np.int64]:
        """The number of each."""
        found = self._found(names)
        if found.min(initial=0) >= 0:
            return found
        with self._lock:
            for name in names:
                self._numbers.setdefault(name, len(self._numbers))
        return self._found(names)

    def all(self) -> list[str]:
        """By number."""
        return list(self._numbers)

    def _found(self, names: Sequence[str]) -> NDArray[np.int64]:
        return np.fromiter(map(self._numbers.get, names, repeat(-1)), np.int64, len(names))
