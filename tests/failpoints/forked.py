"""Lives that are forked from one process that has imported the house: a child a line, killed where its line says."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from data import failpoints


@contextmanager
def places_noted(folder: Path, place: str) -> Iterator[None]:
    """Set the failpoint `place` ("-" for none); writes the places that were passed to FOLDER/passed."""
    os.environ.update(COREHOURS_FAILPOINT="" if place == "-" else place, COREHOURS_ENV="development")
    passed: set[str] = set()
    hit = failpoints.hit

    def noted(name: str, when: str = "") -> None:
        passed.add(f"{name}.{when}" if when else name)
        hit(name, when)
    for module in [module for module in list(sys.modules.values()) if getattr(module, "hit", None) is hit]:
        module.hit = noted  # type: ignore[attr-defined]
    yield
    (folder / "passed").write_text("\n".join(sorted(passed)))


def serve(lines: Iterable[str], child: Callable[..., None]) -> None:
    """Call `child` with the words of each line in a process of its own; prints its exit code."""
    for line in lines:
        if not (pid := os.fork()):
            code = 1
            try:
                child(*line.split())
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), "exit", flush=True)
